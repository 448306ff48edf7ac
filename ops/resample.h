#pragma once
#include "core/autograd.h"

namespace fovea {

// Nearest-neighbour upsampling, as in a BiFPN node (ops/bifpn_node.h), to at least x's own size: y[n, i, j] =
// x[n, floor(i H / height), floor(j W / width)]. The gradient of a pixel is the sum over its copies. Throws
// if x would have to shrink.
Tensor upsample_nearest(const Tensor& x, int64_t height, int64_t width);

}  // namespace fovea
