#include "check.h"

#include <04_sum_over_axis.h>
#include <fovea/ops/reduction.h>

using namespace fovea;
using namespace fovea::learn;

namespace {

struct Case {
  std::vector<int64_t> shape;
  int axis;
  std::string what(const char* function) const {
    return fmt::format("{} of shape {{{}}} at axis {}", function, fmt::join(shape, ", "), axis);
  }
};
const std::vector<Case> cases = {{{4}, 0},          {{1}, 0},          {{3, 5}, 0},       {{3, 5}, 1},
                                 {{2, 3, 5, 7}, 0}, {{2, 3, 5, 7}, 1}, {{2, 3, 5, 7}, 2}, {{2, 3, 5, 7}, 3}};

}  // namespace

STEP("the column sums and the row sums of a 2 x 3 matrix") {
  // 1 2 3
  // 4 5 6
  const std::vector<double> x = {1, 2, 3, 4, 5, 6};
  expect_close(sum_over_axis(x, split({2, 3}, 0)), std::vector<double>{5, 7, 9},
               "the sums over axis 0 of {{1, 2, 3}, {4, 5, 6}}");
  expect_close(sum_over_axis(x, split({2, 3}, 1)), std::vector<double>{6, 15},
               "the sums over axis 1 of {{1, 2, 3}, {4, 5, 6}}");
}

STEP("the same sums as Fovea's, over each axis of tensors with 1, 2 and 4 axes") {
  for (const Case& c : cases) {
    const Shape shape(c.shape), without = shape.without(c.axis);
    const std::vector<double> x = sample(shape.numel());
    const Tensor expected = sum(from_values(shape, x, DType::float64), c.axis);
    expect_close(sum_over_axis(x, split(c.shape, c.axis)), expected.values(), c.what("the sums"), 1e-12,
                 without);
  }
}

STEP("the gradient of a 2 x 3 matrix's sums by hand") {
  expect_close(sum_over_axis_backward({10, 20, 30}, split({2, 3}, 0)),
               std::vector<double>{10, 20, 30, 10, 20, 30}, "dx of the column sums, where dy is {10, 20, 30}",
               1e-12, {2, 3});
  expect_close(sum_over_axis_backward({10, 20}, split({2, 3}, 1)),
               std::vector<double>{10, 10, 10, 20, 20, 20}, "dx of the row sums, where dy is {10, 20}", 1e-12,
               {2, 3});
}

STEP("the gradient by central differences, over each axis") {
  for (const Case& c : cases) {
    const Split s = split(c.shape, c.axis);
    // The loss weighs each sum differently: a plain sum would hide gradients at the wrong places.
    const std::vector<double> x = sample(s.outer * s.count * s.inner), weights = sample(s.outer * s.inner, 2);
    const auto loss = [&](std::span<const double> at) {
      const Tensor x_at = from_values(Shape(c.shape), {at.begin(), at.end()}, DType::float64);
      const std::vector<double> y = sum(x_at, c.axis).values();
      double total = 0;
      for (size_t i = 0; i < y.size(); ++i) total += weights[i] * y[i];
      return total;
    };
    expect_gradient(sum_over_axis_backward(weights, s), loss, x, c.what("dx"), 1e-6, Shape(c.shape));
  }
}
