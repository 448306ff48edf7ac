#include "ops/resample.h"

#include "core/error.h"
#include "ops/support/resampled_sum.h"

namespace fovea {

Tensor upsample_nearest(const Tensor& x, int64_t height, int64_t width) {
  require(x.rank() == 4 && height >= x.size(1) && width >= x.size(2),
          "[upsample_nearest] x is {}: it cannot be made {}x{}, only larger", x.shape(), height, width);
  // A sum with one input.
  const ResampledSum one{"upsample_nearest",   {x.detach()}, {}, Fusion::sum, height, width,
                         Activation::identity, Padding::same};
  return record_adding(resampled_sum(one), one.op, {x}, [one](const Tensor& dy, Node& node) -> Tensors {
    return {resampled_sum_backward(one, dy, node).front()};
  });
}

}  // namespace fovea
