#include "nn/init.h"

#include <cmath>

#include "core/dry_run.h"
#include "core/error.h"

namespace fovea {
namespace {

struct Fans {
  double in, out;
};

// PyTorch's count, without groups: a depthwise weight [C, 1, k, k] there has fan_in k k and fan_out C k k.
Fans fans(const Shape& shape) {
  switch (shape.rank()) {
    case 2:
      return {double(shape[0]), double(shape[1])};
    case 3:
      return {double(shape[0] * shape[1]), double(shape.numel())};
    case 4:
      return {double(shape[0] * shape[1] * shape[2]), double(shape[0] * shape[1] * shape[3])};
    default:
      fail("[init] a weight has rank 2, 3 or 4, got {}", shape);
  }
}

Tensor normal(Shape shape, double deviation, Random& random) {
  Tensor result = randn(shape, random);
  if (is_dry_run()) return result;
  for (float& x : result.span<float>()) x *= float(deviation);
  return result;
}

}  // namespace

Tensor init_fan_out_normal(Shape shape, Random& random) {
  const double groups = shape.rank() == 3 ? double(shape[2]) : 1;
  return normal(shape, std::sqrt(2.0 * groups / fans(shape).out), random);
}

Tensor init_fan_in_normal(Shape shape, Random& random) {
  return normal(shape, std::sqrt(1.0 / fans(shape).in), random);
}

Tensor init_glorot_uniform(Shape shape, Random& random) {
  const double limit = std::sqrt(6.0 / (fans(shape).in + fans(shape).out));
  return rand(shape, random, -limit, limit);
}

Tensor init_fan_in_uniform(Shape shape, Random& random) {
  const double limit = 1.0 / std::sqrt(fans(shape).in);
  return rand(shape, random, -limit, limit);
}

Tensor init_fan_out_uniform(Shape shape, Random& random) {
  const double limit = 1.0 / std::sqrt(fans(shape).out);
  return rand(shape, random, -limit, limit);
}

Tensor initialize(Init init, Shape shape, Random& random) {
  switch (init) {
    case Init::fan_in_normal:
      return init_fan_in_normal(shape, random);
    case Init::glorot_uniform:
      return init_glorot_uniform(shape, random);
    case Init::fan_in_uniform:
      return init_fan_in_uniform(shape, random);
    case Init::fan_out_uniform:
      return init_fan_out_uniform(shape, random);
    default:
      return init_fan_out_normal(shape, random);
  }
}

}  // namespace fovea
