#pragma once
#include "core/autograd.h"
#include "cuda/kernels/activation.h"

namespace fovea {

// How a BiFPN node weighs its inputs (arXiv 1911.09070, section 3.3), v being the learned numbers:
//   fast_normalized  w_i = max(v_i, 0) / (sum_j max(v_j, 0) + 1e-4)
//   softmax          w_i = e^v_i / sum_j e^v_j
//   sum              w_i = 1
enum class Fusion { fast_normalized, softmax, sum };

// A whole BiFPN node up to its convolution, in one pass: y = activation(sum_i w_i resample(x_i)), with x_i
// (N, H_i, W_i, C) brought to height x width: as it is, max-pooled (kernel stride + 1, SAME) from a finer
// level, upsampled by nearest neighbour from a coarser one. `weights` is (number of inputs), undefined for
// Fusion::sum. At least one input; throws on N or C that differ and on an input finer along one axis and
// coarser along the other. Backward keeps the inputs alone, which other ops keep too, and resamples again.
Tensor bifpn_node(const Tensors& inputs, const Tensor& weights, Fusion fusion, int64_t height, int64_t width,
                  Activation activation = Activation::swish);

// The w_i of the formulas above, for people to look at.
std::vector<double> fusion_weights(const Tensor& weights, Fusion fusion);

}  // namespace fovea
