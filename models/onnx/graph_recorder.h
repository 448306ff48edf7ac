#pragma once
#include <map>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "core/error.h"
#include "core/tape_observer.h"
#include "nn/module.h"

namespace fovea {

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

// A network of which only its record is left: what computes is not a tape of ops, but the same as these
// would.
struct RecordedNetwork {
  RecordedGraph graph;
  int input = no_value;
  std::vector<int> outputs;
  std::vector<NamedTensor> constants;  // names for those of the graph
};

// While one lives, every op of this thread is written down, also under NoGrad. It holds no computed numbers:
// a network takes no more memory than without it.
//
// Tensors are told apart by storage and shape, so that detach() changes nothing; a view of another shape that
// no op recorded is written down as a reshape. Storages are known by weak pointers, whose address no later
// storage can get: a tensor is never taken for one that died.
class GraphRecorder : public TapeObserver {
 public:
  int input(const Tensor& tensor);  // a new value that differs from run to run: an image. Call it first
  int value(const Tensor& tensor);  // the place of a tensor; one never seen before becomes a constant
  void on_op(const Op& op, const Tensors& inputs, const Tensor& output) override;
  bool needs_whole_graph() const override { return true; }

  const RecordedGraph& graph() const { return graph_; }

 private:
  int new_value(const Tensor& tensor, bool constant);

  RecordedGraph graph_;
  std::map<std::weak_ptr<const Storage>, std::vector<int>, std::owner_less<>> places_;  // latest last
};

}  // namespace fovea
