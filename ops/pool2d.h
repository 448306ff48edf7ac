#pragma once
#include "core/autograd.h"
#include "cuda/kernels/window.h"

namespace fovea {

// Returns the largest number of each window: x (N, H, W, C) -> (N, out height, out width, C). Positions
// outside the image do not count, a NaN in a window makes its output NaN, and the gradient goes to each
// window's first maximum in reading order. Throws if x does not have four sizes or has no pixel, on a kernel
// outside 1 to 255, a stride below 1, padding over half the kernel, or a window larger than the padded image.
Tensor max_pool2d(const Tensor& x, const Window& window);

// The same with kernel 3 and stride 2: -> (N, ceil(H/2), ceil(W/2), C), as between the levels of a BiFPN.
Tensor max_pool2d(const Tensor& x, Padding padding = Padding::same);

// Returns the mean of each window's pixels; those outside the image do not count, as in TensorFlow (in
// PyTorch, count_include_pad=False). A pixel's gradient is the sum over the windows that hold it of dy
// divided by the window's number of pixels. Throws as max_pool2d does. global_average_pool (ops/reduction.h)
// takes the mean of a whole image.
Tensor average_pool2d(const Tensor& x, const Window& window);

}  // namespace fovea
