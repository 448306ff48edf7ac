#pragma once
#include "core/autograd.h"
#include "cuda/kernels/window.h"

namespace fovea {

// The largest number of each window: x (N, H, W, C) -> (N, out height, out width, C). Positions outside the
// image have no part in it, a NaN in a window makes its output NaN, and the gradient goes to each window's
// first maximum in reading order. Throws where x has no four sizes or no pixel, on a kernel beyond 1 to 255,
// a stride below 1 and more padding than half the kernel, and on a window larger than the padded image.
Tensor max_pool2d(const Tensor& x, const Window& window);

// That of kernel 3 and stride 2: -> (N, ceil(H/2), ceil(W/2), C), as between the levels of a BiFPN.
Tensor max_pool2d(const Tensor& x, Padding padding = Padding::same);

// The mean of each window's pixels; those outside the image have no part in it, as in TensorFlow (in PyTorch
// that is count_include_pad=False). A pixel's gradient is the sum over the windows that hold it of dy divided
// by the window's pixels. Throws as max_pool2d does. The mean of a whole image is global_average_pool
// (ops/reduction.h).
Tensor average_pool2d(const Tensor& x, const Window& window);

}  // namespace fovea
