#pragma once
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "core/error.h"
#include "core/tensor.h"

namespace fovea {

// What an op was called with beside its tensors: {{"stride", 2}, {"padding", "same"}}.
using Attribute = std::variant<int64_t, double, std::string>;
using Attributes = std::map<std::string, Attribute>;  // by name

// How an op presents itself to record(): by its name, and by attributes that are asked for only while
// somebody records.
struct Op {
  Op(const char* op_name, std::function<Attributes()> op_attributes = {})
      : name(op_name), attributes(std::move(op_attributes)) {}
  const char* name;
  std::function<Attributes()> attributes;
};

inline constexpr int no_value = -1;  // an input that was left out: an undefined tensor

// An op as it ran.
struct RecordedOp {
  std::string name;
  Attributes attributes;
  std::vector<int> inputs;  // places in RecordedGraph::values, or no_value
  int output = no_value;

  // T: int64_t, double or std::string, as the op gave it. Throws where the op has no such attribute.
  template <class T>
  const T& attribute(const std::string& key) const {
    const auto found = attributes.find(key);
    require(found != attributes.end() && std::holds_alternative<T>(found->second),
            "[graph] {} was recorded without its attribute {}", name, key);
    return std::get<T>(found->second);
  }
};

// A tensor that an op read or made: its shape and dtype, and its numbers only where it is a constant.
struct RecordedValue {
  Shape shape;
  DType dtype = DType::float32;
  Tensor constant;  // where no op made it and it is no input: parameters, buffers, constants
};

// What a GraphRecorder wrote down.
struct RecordedGraph {
  std::vector<RecordedValue> values;
  std::vector<RecordedOp> ops;  // in the order in which they ran: each after those that made its inputs
};

// While one lives, every op of this thread is written down, under NoGrad, too. It holds no computed numbers:
// a network takes no more memory than without it.
//
// Tensors are told apart by storage and shape, so that detach() changes nothing; a view of another shape that
// no op recorded is written down as a reshape. Storages are known by weak pointers, whose address no later
// storage can get: a tensor is never taken for one that died.
class GraphRecorder {
 public:
  GraphRecorder();
  ~GraphRecorder();
  GraphRecorder(const GraphRecorder&) = delete;
  GraphRecorder& operator=(const GraphRecorder&) = delete;

  int input(const Tensor& tensor);  // a new value that differs from run to run: an image. Call it first
  int value(const Tensor& tensor);  // the place of a tensor; one never seen before becomes a constant
  // Notes that `op` made `output` of `inputs`; record() calls it.
  void add(const Op& op, const Tensors& inputs, const Tensor& output);

  const RecordedGraph& graph() const { return graph_; }

  static GraphRecorder* current();  // of this thread, or null

 private:
  int new_value(const Tensor& tensor, bool constant);

  GraphRecorder* previous_;
  RecordedGraph graph_;
  std::map<std::weak_ptr<const Storage>, std::vector<int>, std::owner_less<>> places_;  // latest last
};

}  // namespace fovea
