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

// Given d(loss)/d(output), returns d(loss)/d(input) for each input, in order; an undefined tensor where an
// input needs none. What the closure captures is what the op keeps for the backward pass, and it is freed as
// the pass uses it up.
using Backward = std::function<Tensors(const Tensor& grad_output)>;
// For ops whose kernels can add as they write: the gradient returned for input i must include what
// take_gradient(node, i) returned, which saves a pass over both.
using AddingBackward = std::function<Tensors(const Tensor& grad_output, Node& node)>;

// One entry of the tape: what made a tensor. A leaf's node has no inputs and keeps the gradient.
struct Node {
  const char* op = "leaf";
  uint64_t sequence = 0;                      // creation order; backward runs in its reverse
  std::vector<std::shared_ptr<Node>> inputs;  // null where an input needs no gradient
  AddingBackward backward;                    // empty for leaves, and once used up
  bool consumed = false;
  Shape shape;  // of the tensor it stands for: a gradient must match
  DType dtype = DType::float32;
  Device device = Device::cpu;
  Tensor grad;  // collected so far

  ~Node();
  bool is_leaf() const { return inputs.empty(); }
};

// Puts `output` on the tape as op(inputs). Where nothing requires a gradient, or under NoGrad, it is returned
// as it came and the closure is dropped. A TapeObserver sees the op in any case. `inputs` are all tensors
// that the output depends on, including those that never need a gradient.
Tensor record(Tensor output, const Op& op, const Tensors& inputs, Backward backward);
Tensor record_adding(Tensor output, const Op& op, const Tensors& inputs, AddingBackward backward);

// For an AddingBackward: what input i has collected from the ops made after this one, to be overwritten with
// the sum. An undefined tensor where that is nothing, or the input needs no gradient.
Tensor take_gradient(const Node& node, size_t i);

// For an op that has no gradient for one of its inputs: throws where that input requires one. Without this a
// loss that depends on it would get a gradient that lacks a part. Under NoGrad any tensor will do.
void require_no_gradient(const char* op, const char* input, const Tensor& tensor);

// While one of these lives, ops are not recorded (on this thread): evaluation, optimizer steps.
class NoGrad {
 public:
  NoGrad();
  ~NoGrad();
  NoGrad(const NoGrad&) = delete;
  NoGrad& operator=(const NoGrad&) = delete;

 private:
  bool previous_;
};

// The opposite, within a NoGrad: ops are recorded again.
class WithGrad {
 public:
  WithGrad();
  ~WithGrad();
  WithGrad(const WithGrad&) = delete;
  WithGrad& operator=(const WithGrad&) = delete;

 private:
  bool previous_;
};

bool grad_enabled();  // no NoGrad lives on this thread

// The graph behind a tensor as Graphviz text: one box an op, with the shape it made.
std::string graph_dot(const Tensor& root);

std::shared_ptr<Node> make_leaf_node(Shape shape, DType dtype, Device device);  // for set_requires_grad
void run_backward(const Tensor& root, const Tensor& gradient);                  // Tensor::backward

// sum += term, for two gradients of one tensor, off the tape. In place where nothing else holds `sum`.
void accumulate(Tensor& sum, const Tensor& term);

}  // namespace fovea
