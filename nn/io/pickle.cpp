#include "nn/io/pickle.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <map>

#include "core/error.h"

namespace fovea {

// Runs one pickle: a stack of values, marks in it where a tuple or the like begins, and the memo, from which
// values are used again.
class PickleReader::Machine {
 public:
  Machine(PickleReader& reader, const std::vector<std::string_view>& allowed)
      : reader_(reader), allowed_(allowed) {}

  const PickleValue& run() {
    for (;;) {
      const size_t place = reader_.at_;
      const char opcode = bytes(1)[0];
      if (opcode == '.') return *pop();
      require(step(opcode),
              "{}: byte {} of the pickle is the instruction 0x{:02x}, which files of weights do "
              "not need",
              reader_.source_, place, uint8_t(opcode));
    }
  }

 private:
  using Value = PickleValue;
  static constexpr size_t most_values = 10'000'000;  // a large network's state_dict has ten thousand

  [[noreturn]] void damaged(const char* what) const {
    fail("{} is cut short or damaged: {} at byte {} of the pickle", reader_.source_, what, reader_.at_);
  }

  std::string_view bytes(uint64_t count) {
    if (count > reader_.text_.size() - reader_.at_) damaged("it ends inside an instruction");
    const std::string_view result = reader_.text_.substr(reader_.at_, size_t(count));
    reader_.at_ += size_t(count);
    return result;
  }
  // Little-endian, as all of pickle's binary numbers but BINFLOAT are.
  template <class T>
  T number() {
    T result;
    std::memcpy(&result, bytes(sizeof result).data(), sizeof result);
    return result;
  }
  std::string_view line() {
    const size_t end = reader_.text_.find('\n', reader_.at_);
    if (end == std::string_view::npos) damaged("a line without an end");
    const std::string_view result = reader_.text_.substr(reader_.at_, end - reader_.at_);
    reader_.at_ = end + 1;
    return result;
  }

  template <class T>
  bool push(T value) {
    require(reader_.values_.size() < most_values, "{}: its pickle has more than {} values", reader_.source_,
            most_values);
    stack_.push_back(&reader_.values_.emplace_back(PickleValue{std::move(value)}));
    return true;
  }
  Value* pop() {
    if (stack_.size() <= (marks_.empty() ? 0 : marks_.back())) damaged("nothing is on the stack");
    Value* const result = stack_.back();
    stack_.pop_back();
    return result;
  }
  // Pops `count` values, in the order in which they were pushed.
  Value::List pop(size_t count) {
    Value::List result(count);
    for (size_t i = count; i-- > 0;) result[i] = pop();
    return result;
  }
  // Pops the values above the latest mark.
  Value::List pop_mark() {
    if (marks_.empty()) damaged("a mark is missing");
    const size_t count = stack_.size() - marks_.back();
    Value::List result = pop(count);
    marks_.pop_back();
    return result;
  }
  Value* top() {
    Value* const result = pop();
    stack_.push_back(result);
    return result;
  }
  template <class T>
  T& top_as() {
    T* const result = std::get_if<T>(&top()->value);
    if (!result) damaged("a value of another kind than its instruction needs");
    return *result;
  }
  bool append(const Value::List& items) {
    Value::List& list = top_as<Value::List>();
    list.insert(list.end(), items.begin(), items.end());
    return true;
  }
  // items: key, value, key, value, ...
  bool set(const Value::List& items) {
    if (items.size() % 2) damaged("a key without a value");
    Value::Dict& dict = top_as<Value::Dict>();
    for (size_t i = 0; i < items.size(); i += 2) dict.emplace_back(items[i], items[i + 1]);
    return true;
  }
  bool global(std::string_view module, std::string_view name) {
    std::string full = fmt::format("{}.{}", module, name);
    require(std::find(allowed_.begin(), allowed_.end(), full) != allowed_.end(),
            "{} names {}, which is not among the few classes that files of weights need: it holds more than "
            "weights, or was made to do harm. Nothing in it was run",
            reader_.source_, printable(full));
    return push(Value::Global{std::move(full)});
  }
  bool global(const Value::List& module_and_name) {
    const auto *module = module_and_name[0]->as<std::string_view>(),
               *name = module_and_name[1]->as<std::string_view>();
    if (!module || !name) damaged("a global without a name");
    return global(*module, *name);
  }
  bool call(const Value::List& function_and_arguments) {
    const Value *function = function_and_arguments[0], *arguments = function_and_arguments[1];
    const auto* global = function->as<Value::Global>();
    const auto* list = arguments->as<Value::List>();
    if (!global || !list) damaged("a call of something other than a function, or without arguments");
    if (global->name == "collections.OrderedDict") return ordered_dict(*list);
    return push(Value::Call{function, arguments});
  }
  // OrderedDict(), or OrderedDict([[key, value], ...]) as Python 2 wrote it.
  bool ordered_dict(const Value::List& arguments) {
    Value::Dict dict;
    const auto* pairs = arguments.empty() ? nullptr : arguments[0]->as<Value::List>();
    if (!arguments.empty() && !pairs) damaged("an OrderedDict of something other than pairs");
    for (size_t i = 0; pairs && i < pairs->size(); ++i) {
      const auto* pair = (*pairs)[i]->as<Value::List>();
      if (!pair || pair->size() != 2) damaged("an OrderedDict of something other than pairs");
      dict.emplace_back((*pair)[0], (*pair)[1]);
    }
    return push(std::move(dict));
  }
  // The attributes of objects, such as `_metadata` of a state_dict, are not needed.
  bool build(const Value*) { return top(), true; }
  bool remember(uint64_t index) { return memo_[index] = top(), true; }
  bool recall(uint64_t index) {
    const auto found = memo_.find(index);
    if (found == memo_.end()) damaged("a value that was never put into the memo");
    return stack_.push_back(found->second), true;
  }
  // Two's complement of any length; only the magic number of old files needs more than 64 bits.
  bool push_integer(std::string_view content) {
    if (content.size() > 8) return push(Value::Bytes{content});
    uint64_t result = !content.empty() && content.back() < 0 ? ~uint64_t(0) : 0;
    std::memcpy(&result, content.data(), content.size());
    return push(int64_t(result));
  }
  static std::string printable(const std::string& text) {
    std::string result;
    for (const char c : text.substr(0, 100)) result += c < ' ' || c == 127 ? '?' : c;
    return result;
  }

  // Returns false if the instruction is none of those here.
  bool step(char opcode) {
    const auto is = [&](auto... codes) { return ((uint8_t(opcode) == codes) || ...); };
    // Numbers, texts and bytes, each after its own length; 'T' and 'U' are Python 2's strings.
    if (is('N')) return push(Value::None{});
    if (is(0x88, 0x89)) return push(is(0x88));
    if (is('K')) return push(int64_t(number<uint8_t>()));
    if (is('M')) return push(int64_t(number<uint16_t>()));
    if (is('J')) return push(int64_t(number<int32_t>()));
    if (is(0x8a)) return push_integer(bytes(number<uint8_t>()));
    if (is('G')) return push(std::bit_cast<double>(__builtin_bswap64(number<uint64_t>())));
    if (is(0x8c, 'U')) return push(bytes(number<uint8_t>()));
    if (is('X', 'T')) return push(bytes(number<uint32_t>()));
    if (is(0x8d)) return push(bytes(number<uint64_t>()));
    if (is('C')) return push(Value::Bytes{bytes(number<uint8_t>())});
    if (is('B')) return push(Value::Bytes{bytes(number<uint32_t>())});
    // Tuples, lists, dictionaries
    if (is('(')) return marks_.push_back(stack_.size()), true;
    if (is(')', ']')) return push(Value::List{});
    if (is('}')) return push(Value::Dict{});
    if (is('t', 'l')) return push(pop_mark());
    if (is(0x85, 0x86, 0x87)) return push(pop(size_t(uint8_t(opcode)) - 0x84));
    if (is('a')) return append(pop(1));
    if (is('e')) return append(pop_mark());
    if (is('s')) return set(pop(2));
    if (is('u')) return set(pop_mark());
    // The memo
    if (is('q')) return remember(number<uint8_t>());
    if (is('r')) return remember(number<uint32_t>());
    if (is(0x94)) return remember(memo_.size());
    if (is('h')) return recall(number<uint8_t>());
    if (is('j')) return recall(number<uint32_t>());
    // GLOBAL, STACK_GLOBAL; REDUCE, NEWOBJ; BUILD; BINPERSID
    if (is('c')) {
      const std::string_view module = line();
      return global(module, line());
    }
    if (is(0x93)) return global(pop(2));
    if (is('R', 0x81)) return call(pop(2));
    if (is('b')) return build(pop());
    if (is('Q')) return push(Value::PersistentId{pop()});
    // PROTO, FRAME; POP, POP_MARK
    if (is(0x80, 0x95)) return bytes(is(0x80) ? 1 : 8), true;
    if (is('0')) return pop(), true;
    if (is('1')) return pop_mark(), true;
    return false;
  }

  PickleReader& reader_;
  const std::vector<std::string_view>& allowed_;
  std::vector<Value*> stack_;
  std::vector<size_t> marks_;
  std::map<uint64_t, Value*> memo_;
};

const PickleValue& PickleReader::read(const std::vector<std::string_view>& allowed) {
  return Machine(*this, allowed).run();
}

}  // namespace fovea
