#include "ops/bifpn_node.h"

#include "ops/support/attributes.h"
#include "ops/support/dispatch.h"
#include "ops/support/resampled_sum.h"

namespace fovea {

std::vector<double> fusion_weights(const Tensor& weights, Fusion fusion) {
  return fused_weights(weights.values(), fusion);
}

Tensor bifpn_node(const Tensors& inputs, const Tensor& weights, Fusion fusion, int64_t height, int64_t width,
                  Activation activation, Padding padding) {
  require(!inputs.empty(), "[bifpn_node] there are no inputs");
  const Tensor& first = inputs[0];
  for (const Tensor& x : inputs) {
    require(x.rank() == 4 && x.size(0) == first.size(0) && x.size(3) == first.size(3) &&
                x.dtype() == first.dtype(),
            "[bifpn_node] inputs must be (N, H, W, C) of one N, C and dtype, got {} and {}", first.shape(),
            x.shape());
    require_one_device("bifpn_node", {first, x, weights});
  }
  const int64_t count = int64_t(inputs.size());
  require(first.device() == Device::cpu || count <= cuda::max_node_inputs,
          "[bifpn_node] on CUDA a node has at most {} inputs, got {}: add some of them up first",
          cuda::max_node_inputs, count);
  if (fusion == Fusion::sum)
    require(!weights.defined(), "[bifpn_node] Fusion::sum takes no weights");
  else
    require(weights.defined() && weights.shape() == Shape{count} &&
                weights.dtype() == accumulator_dtype(first.dtype()),
            "[bifpn_node] {} inputs need weights of shape {} in {}, got {}", count, count,
            accumulator_dtype(first.dtype()),
            weights.defined() ? fmt::format("{} in {}", weights.shape(), weights.dtype()) : "none");
  ResampledSum sum{"bifpn_node", {}, {}, fusion, height, width, activation, padding};
  if (weights.defined()) sum.weights = weights.detach();
  Tensors all = inputs;
  for (const Tensor& x : inputs) sum.inputs.push_back(x.detach());
  all.push_back(weights);
  const auto attributes = [&] {
    return Attributes{{"fusion", name(fusion)}, {"activation", name(activation)}, {"padding", name(padding)}};
  };
  return record_adding(resampled_sum(sum), {"bifpn_node", attributes}, all,
                       [sum](const Tensor& dy, Node& node) { return resampled_sum_backward(sum, dy, node); });
}

}  // namespace fovea
