#include "core/recompute.h"

#include <utility>

#include "core/tape_observer.h"

namespace fovea {
namespace {

// Both are true in the first pass of a part within the second pass of another.
thread_local bool in_first_pass = false, in_second_pass = false;

class Scope {
 public:
  explicit Scope(bool& flag) : flag_(flag), previous_(std::exchange(flag, true)) {}
  ~Scope() { flag_ = previous_; }
  Scope(const Scope&) = delete;
  Scope& operator=(const Scope&) = delete;

 private:
  bool& flag_;
  bool previous_;
};

// Runs the function on leaves that stand for its inputs, then its backward pass. The gradient that an input
// has accumulated so far comes first in the sum, as it does where the function's ops are on the tape
// themselves: floating-point sums depend on their order.
Tensors gradients_of(const std::function<Tensor(const Tensors&)>& function, const Tensors& inputs,
                     const Node& node, const Tensor& grad_output) {
  Tensors leaves;
  for (size_t i = 0; i < inputs.size(); ++i) {
    Tensor leaf = inputs[i].defined() ? inputs[i].detach() : Tensor();
    if (node.inputs[i]) {
      leaf.set_requires_grad();
      leaf.set_grad(std::exchange(node.inputs[i]->grad, Tensor()));
    }
    leaves.push_back(std::move(leaf));
  }
  Tensor output;
  {
    const WithGrad with_grad;
    const Scope second(in_second_pass);
    output = function(leaves);
  }
  output.backward(grad_output);
  Tensors gradients;
  for (const Tensor& leaf : leaves) gradients.push_back(leaf.defined() ? leaf.grad() : Tensor());
  return gradients;
}

}  // namespace

bool will_be_recomputed() { return in_first_pass; }
bool is_recomputing() { return in_second_pass; }

Tensor recompute(const std::function<Tensor(const Tensors&)>& function, const Tensors& inputs,
                 const Tensors& parameters) {
  bool needed = false;
  for (const Tensors* tensors : {&inputs, &parameters})
    for (const Tensor& tensor : *tensors) needed = needed || tensor.requires_grad();
  if (!needed || !grad_enabled() || TapeObserver::any_needs_whole_graph()) return function(inputs);

  Tensor output;
  {
    const NoGrad no_grad;
    const Scope first(in_first_pass);
    output = function(inputs).detach();
  }
  Tensors kept, all = inputs;
  for (const Tensor& input : inputs) kept.push_back(input.defined() ? input.detach() : Tensor());
  all.insert(all.end(), parameters.begin(), parameters.end());
  return record_adding(output, "recompute", all, [function, kept](const Tensor& dy, Node& node) -> Tensors {
    Tensors gradients = gradients_of(function, kept, node, dy);
    gradients.resize(node.inputs.size());  // the parameters have theirs already
    return gradients;
  });
}

}  // namespace fovea
