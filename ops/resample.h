#pragma once
#include "core/autograd.h"
#include "cuda/kernels/window.h"

namespace fovea {

// The resampling steps of a BiFPN node (ops/bifpn_node.h) as ops of their own.

// Max pooling by stride 2, kernel 3: x (N, H, W, C) -> (N, ceil(H/2), ceil(W/2), C), padded as TensorFlow's
// SAME or by one pixel on every side, as PyTorch's models do (an axis of one pixel stays as it is). Positions
// outside the image count as -infinity, a NaN in a window makes its output NaN, the gradient goes to each
// window's first maximum in reading order. Throws where x has no four sizes or no pixel.
Tensor max_pool2d(const Tensor& x, Padding padding = Padding::same);

// Nearest-neighbour upsampling to at least x's own size: y[n, i, j] = x[n, floor(i H / height), floor(j W /
// width)]. The gradient of a pixel is the sum over its copies. Throws where it would have to shrink.
Tensor upsample_nearest(const Tensor& x, int64_t height, int64_t width);

}  // namespace fovea
