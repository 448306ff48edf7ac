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

inline constexpr int no_value = -1;  // an omitted input: an undefined tensor

// An op as it ran.
struct RecordedOp {
  std::string name;
  Attributes attributes;
  std::vector<int> inputs;  // places in RecordedGraph::values, or no_value
  int output = no_value;

  // T: int64_t, double or std::string, as the op recorded it. Throws Error if the op has no such attribute.
  template <class T>
  const T& attribute(const std::string& key) const {
    const auto found = attributes.find(key);
    require(found != attributes.end() && std::holds_alternative<T>(found->second),
            "[graph] {} was recorded without its attribute {}", name, key);
    return std::get<T>(found->second);
  }
};

// A tensor that an op read or produced: its shape and dtype, and its numbers only if it is a constant.
struct RecordedValue {
  Shape shape;
  DType dtype = DType::float32;
  Tensor constant;  // if no op produced it and it is not an input: parameters, buffers, constants
};

// The record of a GraphRecorder.
struct RecordedGraph {
  std::vector<RecordedValue> values;
  std::vector<RecordedOp> ops;  // in the order in which they ran: each after those that produced its inputs
};

// The record of a network whose computation is not a tape of ops, but equals the ops in this record.
struct RecordedNetwork {
  RecordedGraph graph;
  int input = no_value;
  std::vector<int> outputs;
  std::vector<NamedTensor> constants;  // names for those of the graph
};

// While a GraphRecorder exists, it records every op of this thread, also under NoGrad. It holds no computed
// numbers: a network takes no more memory than without it.
//
// Tensors are identified by storage and shape, so that detach() changes nothing; a view of another shape that
// no op recorded is recorded as a reshape. Storages are identified by weak pointers, whose address no later
// storage can get: a tensor is never confused with one that was freed.
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
