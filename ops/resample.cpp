#include "ops/resample.h"

#include "core/error.h"
#include "ops/support/attributes.h"
#include "ops/support/resampled_sum.h"

namespace fovea {
namespace {

// The sum of one input.
Tensor resample(const Op& op, const Tensor& x, int64_t height, int64_t width, Padding padding) {
  const ResampledSum one{op.name, {x.detach()},         {},     Fusion::sum, height,
                         width,   Activation::identity, padding};
  return record(resampled_sum(one), op, {x}, [one](const Tensor& dy) -> Tensors {
    return {resampled_sum_backward(one, dy, {true}).front()};
  });
}

}  // namespace

Tensor max_pool2d(const Tensor& x, Padding padding) {
  require(x.rank() == 4 && x.size(1) > 0 && x.size(2) > 0,
          "[max_pool2d] x is {}, it must be (N, H, W, C) with pixels", x.shape());
  const auto window = [padding] { return attributes(Window{3, 2, padding}); };
  return resample({"max_pool2d", window}, x, (x.size(1) + 1) / 2, (x.size(2) + 1) / 2, padding);
}

Tensor upsample_nearest(const Tensor& x, int64_t height, int64_t width) {
  require(x.rank() == 4 && height >= x.size(1) && width >= x.size(2),
          "[upsample_nearest] x is {}, it cannot be made {}x{}: only enlarging", x.shape(), height, width);
  return resample({"upsample_nearest"}, x, height, width, Padding::same);
}

}  // namespace fovea
