#pragma once
#include "core/autograd.h"

namespace fovea {

// The two memory-bound halves of squeeze-and-excitation (arXiv 1709.01507).

// The mean over height and width: x (N, H, W, C) -> (N, C). The gradient is dy / (H W) at each pixel. Throws
// where there is no pixel.
Tensor global_average_pool(const Tensor& x);

// Each channel of each image scaled: x (N, H, W, C), s (N, C) -> x * s. dx = dy * s and ds = sum over pixels
// of dy * x in one pass. Throws where s is not one number of x's dtype for each image and channel.
Tensor scale_channels(const Tensor& x, const Tensor& s);

}  // namespace fovea
