#include "train/loop/anomaly_check.h"

#include <algorithm>
#include <cmath>
#include <type_traits>

namespace fovea {
namespace {
// The first named leaf that a node, or a node before it, has read. In the order of the forward pass this is
// the layer that the node belongs to, or follows.
const std::string* nearest(const Node& node, const std::map<const Node*, std::string>& leaves, bool& direct) {
  direct = true;
  for (const Node* at = &node; at;) {
    for (const auto& input : at->inputs)
      if (const auto found = leaves.find(input.get()); input && found != leaves.end()) return &found->second;
    direct = false;
    const auto next =
        std::find_if(at->inputs.begin(), at->inputs.end(), [](const auto& n) { return n != nullptr; });
    at = next == at->inputs.end() ? nullptr : next->get();
  }
  return nullptr;
}

}  // namespace

bool all_finite(const Tensor& tensor) {
  if (!tensor.defined()) return true;
  // Not by to(), since that op would be checked in turn.
  const Tensor here = tensor.device() == Device::cpu ? tensor : tensor.clone(Device::cpu);
  return with_dtype(here.dtype(), [&]<class T>() {
    if constexpr (std::is_integral_v<T>) return true;
    const auto finite = [](T x) {
      if constexpr (std::is_same_v<T, bfloat16>)
        return std::isfinite(float(x));
      else
        return std::isfinite(x);
    };
    return std::all_of(here.data<T>(), here.data<T>() + here.numel(), finite);
  });
}

AnomalyCheck::AnomalyCheck(const std::vector<Name>& names) {
  for (const auto& [name, tensor] : names) {
    names_[tensor.storage()] = name;
    if (tensor.requires_grad()) leaves_[tensor.node().get()] = name;
  }
}

const std::string* AnomalyCheck::name_of(const Tensor& tensor) const {
  if (!tensor.defined()) return nullptr;
  const auto found = names_.find(tensor.storage());
  return found == names_.end() ? nullptr : &found->second;
}

void AnomalyCheck::on_op(const Op& op, const Tensors& inputs, const Tensor& output) {
  if (first_ || !grad_enabled()) return;  // under NoGrad: an op of a backward pass
  bool direct = false;
  for (const Tensor& input : inputs)
    if (const std::string* name = name_of(input); name && !direct) latest_ = *name, direct = true;
  if (all_finite(output)) return;
  first_ = {op.name, false, output.shape(), latest_, direct, false};
  for (const Tensor& input : inputs) {
    const std::string* name = name_of(input);
    // A named tensor that is not trained may be a running average that the op itself has just overwritten.
    if (all_finite(input) || (name && !input.requires_grad())) continue;
    // The first op to read it: no op before produced it.
    first_ = {op.name, false, input.shape(), name ? *name : latest_, name != nullptr, true};
    return;
  }
}

void AnomalyCheck::on_gradients(const Node& node, const Tensors& gradients) {
  if (first_) return;
  for (const Tensor& gradient : gradients) {
    if (all_finite(gradient)) continue;
    bool direct = false;
    const std::string* name = nearest(node, leaves_, direct);
    first_ = {node.op, true, gradient.shape(), name ? *name : "", name != nullptr && direct, false};
    return;
  }
}

}  // namespace fovea
