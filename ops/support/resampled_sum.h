#pragma once
#include <vector>

#include "core/autograd.h"
#include "cuda/kernels/activation.h"
#include "cuda/kernels/bifpn_node.h"

namespace fovea {

// y = activation(sum_i w_i resample(x_i)), with x_i (N, H_i, W_i, C) brought to height x width, off the tape:
// what bifpn_node and upsample_nearest compute. cuda/kernels/bifpn_node.h says how an input is
// resampled and how the w_i follow from the weights.
struct ResampledSum {
  const char* op;  // the name that errors begin with
  Tensors inputs;  // one or more, on CUDA at most six; of one N, C, dtype and device
  Tensor weights;  // (number of inputs); undefined for Fusion::sum
  Fusion fusion;
  int64_t height, width;
  Activation activation;
  Padding padding;  // of pooling
};

// Returns y (N, height, width, C). Throws if an input is finer along one axis and coarser along the other, if
// a finer one's size, halved and rounded up repeatedly, does not reach height x width, and on a dtype that
// the device does not compute in.
Tensor resampled_sum(const ResampledSum& of);

// Returns the gradients of the inputs, undefined where the op's node needs none, and after them that of the
// weights, undefined if there are none. Takes what the inputs have accumulated so far and adds it. dy has y's
// shape. Off the tape.
Tensors resampled_sum_backward(const ResampledSum& of, const Tensor& dy, const Node& node);

// The w_i of weights v_i, for fusions that have weights; computed in double, rounded once.
std::vector<double> fused_weights(std::vector<double> v, Fusion fusion);

}  // namespace fovea
