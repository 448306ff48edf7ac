#include "ops/resample.h"

#include "core/error.h"
#include "ops/bifpn_node.h"

namespace fovea {

Tensor max_pool2d(const Tensor& x, Padding padding) {
  require(x.rank() == 4 && x.size(1) > 0 && x.size(2) > 0,
          "[max_pool2d] x is {}, it must be (N, H, W, C) with pixels", x.shape());
  return bifpn_node({x}, {}, Fusion::sum, (x.size(1) + 1) / 2, (x.size(2) + 1) / 2, Activation::identity,
                    padding);
}

Tensor upsample_nearest(const Tensor& x, int64_t height, int64_t width) {
  require(x.rank() == 4 && height >= x.size(1) && width >= x.size(2),
          "[upsample_nearest] x is {}, it cannot be made {}x{}: only enlarging", x.shape(), height, width);
  return bifpn_node({x}, {}, Fusion::sum, height, width, Activation::identity);
}

}  // namespace fovea
