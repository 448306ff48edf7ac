#pragma once
#include "core/autograd.h"

namespace fovea {

// Squeeze and excitation (arXiv 1709.01507) as in EfficientNet: each channel of each image is scaled by a
// factor that two small layers compute from the means of all channels,
//   y = x sigmoid(swish(global_average_pool(x) w_reduce + b_reduce) w_expand + b_expand)
// with x (N, H, W, C), w_reduce (C, S), b_reduce (S), w_expand (S, C), b_expand (C), S at least 1. Where x is
// bfloat16 the parameters are float32, as is everything between the means and the factors. The backward pass
// reads x and dy for the gradients of the factors, then dy again for dx = dy sigmoid(...) + dmeans / (H W).
// Throws if there is no pixel, and if a parameter has another shape or dtype.
Tensor squeeze_excite(const Tensor& x, const Tensor& w_reduce, const Tensor& b_reduce, const Tensor& w_expand,
                      const Tensor& b_expand);

}  // namespace fovea
