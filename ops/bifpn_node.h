#pragma once
#include "core/autograd.h"
#include "cuda/kernels/activation.h"
#include "cuda/kernels/bifpn_node.h"

namespace fovea {

// A whole BiFPN node up to its convolution, in one pass: y = activation(sum_i w_i resample(x_i)), with each
// x_i (N, H_i, W_i, C) brought to height x width: as it is, max-pooled (kernel stride + 1) from a finer
// level, or upsampled by nearest neighbour from a coarser one. `weights` is (number of inputs), undefined for
// Fusion::sum. There is at least one input, on CUDA at most six. Throws if N or C differ, if an input is
// finer along one axis and coarser along the other, or if a finer input's size, halved and rounded up
// repeatedly, does not reach the node's. The backward pass needs only the inputs, which other ops also keep,
// and resamples them again.
Tensor bifpn_node(const Tensors& inputs, const Tensor& weights, Fusion fusion, int64_t height, int64_t width,
                  Activation activation = Activation::swish, Padding padding = Padding::same);

// Returns the w_i that follow from the weights (cuda/kernels/bifpn_node.h), for display.
std::vector<double> fusion_weights(const Tensor& weights, Fusion fusion);

}  // namespace fovea
