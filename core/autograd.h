#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/op.h"
#include "core/tensor.h"

namespace fovea {

struct Node;

// Given d(loss)/d(output), returns d(loss)/d(input) for each input, in order, and an undefined tensor where
// an input needs none. The op keeps what the closure captures until the backward pass has used it.
using Backward = std::function<Tensors(const Tensor& grad_output)>;
// For ops whose kernels can accumulate: the gradient returned for input i must include what
// take_gradient(node, i) returned. This saves a pass over both tensors.
using AddingBackward = std::function<Tensors(const Tensor& grad_output, Node& node)>;

// One entry of the tape: the op that made a tensor. A leaf's node has no inputs and keeps the gradient.
struct Node {
  const char* op = "leaf";
  uint64_t sequence = 0;                      // creation order; backward runs in its reverse
  std::vector<std::shared_ptr<Node>> inputs;  // null where an input needs no gradient
  AddingBackward backward;                    // empty for leaves, and after its backward pass
  bool consumed = false;
  Shape shape;  // the tensor's shape, which a gradient must match
  DType dtype = DType::float32;
  Device device = Device::cpu;
  Tensor grad;  // accumulated so far

  ~Node();
  bool is_leaf() const { return inputs.empty(); }
};

// Records `output` on the tape as op(inputs) and returns it. Where no input requires a gradient, or under
// NoGrad, it returns `output` unchanged and drops the closure; a TapeObserver is notified in any case.
// `inputs` lists every tensor that the output depends on, including those that never need a gradient.
Tensor record(Tensor output, const Op& op, const Tensors& inputs, Backward backward);
Tensor record_adding(Tensor output, const Op& op, const Tensors& inputs, AddingBackward backward);

// For an AddingBackward: takes what input i has accumulated from the ops made after this one, to be
// overwritten with the sum. Returns an undefined tensor if there is none or the input needs no gradient.
Tensor take_gradient(const Node& node, size_t i);

// For an op that has no gradient for one of its inputs: throws if that input requires one. Without this check
// a loss that depends on it would get an incomplete gradient. Under NoGrad it accepts any tensor.
void require_no_gradient(const char* op, const char* input, const Tensor& tensor);

// While one of these lives, ops on this thread are not recorded: for evaluation and optimizer steps.
class NoGrad {
 public:
  NoGrad();
  ~NoGrad();
  NoGrad(const NoGrad&) = delete;
  NoGrad& operator=(const NoGrad&) = delete;

 private:
  bool previous_;
};

// The opposite, for use inside a NoGrad: ops are recorded again.
class WithGrad {
 public:
  WithGrad();
  ~WithGrad();
  WithGrad(const WithGrad&) = delete;
  WithGrad& operator=(const WithGrad&) = delete;

 private:
  bool previous_;
};

bool grad_enabled();  // whether ops on this thread are recorded

// Returns the graph behind a tensor as Graphviz text: one box per op, with its output shape.
std::string graph_dot(const Tensor& root);

std::shared_ptr<Node> make_leaf_node(Shape shape, DType dtype, Device device);  // for set_requires_grad
void run_backward(const Tensor& root, const Tensor& gradient);                  // Tensor::backward

// sum += term, for two gradients of one tensor, off the tape; in place if nothing else shares `sum`.
void accumulate(Tensor& sum, const Tensor& term);

}  // namespace fovea
