#pragma once
#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace fovea {

// A value in a Python pickle, of a file of weights. A pickle is a program for a small stack machine; ours can
// build numbers, texts, tuples, lists and dictionaries, and cannot import or call anything. All instructions:
// https://github.com/python/cpython/blob/main/Lib/pickletools.py
struct PickleValue {
  struct None {};
  struct Bytes {
    std::string_view content;
  };
  // The name of a class or function, "collections.OrderedDict".
  struct Global {
    std::string name;
  };
  using List = std::vector<const PickleValue*>;  // a tuple or a list, which may contain itself
  using Dict = std::vector<std::pair<const PickleValue*, const PickleValue*>>;  // in the order of the file
  // Global(arguments), which nothing has called.
  struct Call {
    const PickleValue *function, *arguments;
  };
  // A reference to what the file keeps outside of the pickle.
  struct PersistentId {
    const PickleValue* id;
  };
  std::variant<None, bool, int64_t, double, std::string_view, Bytes, List, Dict, Global, Call, PersistentId>
      value;

  // Null if the value is of another kind.
  template <class T>
  const T* as() const {
    return std::get_if<T>(&value);
  }
};

// Reads pickles of protocols 2 to 5 that follow one another in a text and owns the values that it read. The
// text must outlive it.
class PickleReader {
 public:
  // Messages of errors begin with `source`.
  PickleReader(std::string_view text, std::string source) : text_(text), source_(std::move(source)) {}

  // Returns the next pickle's value. An empty OrderedDict called without arguments is a Dict. Throws Error if
  // the text is cut short or not a pickle, an instruction is unknown, or the pickle names a global that is
  // not in `allowed`, whatever it would have done with it.
  const PickleValue& read(const std::vector<std::string_view>& allowed);
  // Where the next one begins.
  size_t position() const { return at_; }
  // All values read so far, including those inside others.
  const std::deque<PickleValue>& values() const { return values_; }

 private:
  class Machine;

  std::string_view text_;
  std::string source_;
  size_t at_ = 0;
  std::deque<PickleValue> values_;  // a deque: they keep their addresses
};

}  // namespace fovea
