#pragma once
#include "core/autograd.h"
#include "cuda/kernels/activation.h"
#include "cuda/kernels/bifpn_node.h"

namespace fovea {

// A whole BiFPN node up to its convolution, in one pass: y = activation(sum_i w_i resample(x_i)), with x_i
// (N, H_i, W_i, C) brought to height x width: as it is, max-pooled (kernel stride + 1) from a finer
// level, upsampled by nearest neighbour from a coarser one. `weights` is (number of inputs), undefined for
// Fusion::sum. At least one input, on CUDA at most six; throws on N or C that differ, on an input finer along
// one axis and coarser along the other, and on a finer one whose size, halved and rounded up again and again,
// does not come to the node's. The backward pass needs only the inputs, which other ops keep
// too, and resamples them again.
Tensor bifpn_node(const Tensors& inputs, const Tensor& weights, Fusion fusion, int64_t height, int64_t width,
                  Activation activation = Activation::swish, Padding padding = Padding::same);

// The w_i that the weights make (cuda/kernels/bifpn_node.h), for people to look at.
std::vector<double> fusion_weights(const Tensor& weights, Fusion fusion);

}  // namespace fovea
