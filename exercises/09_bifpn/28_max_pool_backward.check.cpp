#include <fovea/ops/pool2d.h>

#include "check.h"

#include <28_max_pool_backward.h>

using namespace fovea::learn;

STEP("a map of one element") {
  expect_close(max_pool_backward({5}, 1, 1, {3}), std::vector<double>{3}, "dx of a 1 x 1 map");
}

STEP("a 3 x 3 map: SAME padding puts one row and column before it") {
  // windows begin at -1 and 1: outputs are max {1, 2, 4, 5}, {2, 3, 5, 6}, {4, 5, 7, 8}, {5, 6, 8, 9}
  expect_close(max_pool_backward({1, 2, 3, 4, 5, 6, 7, 8, 9}, 3, 3, {10, 20, 30, 40}),
               std::vector<double>{0, 0, 0, 0, 10, 20, 0, 30, 40}, "dx", 1e-9, {3, 3});
}

STEP("windows that share their largest element add up") {
  expect_close(max_pool_backward({0, 0, 0, 0, 9, 0, 0, 0, 0}, 3, 3, {1, 2, 4, 8}),
               std::vector<double>{0, 0, 0, 0, 15, 0, 0, 0, 0}, "dx", 1e-9, {3, 3});
}

STEP("negative numbers: the padding is not a 0") {
  expect_close(max_pool_backward({-5, -4, -3, -2}, 1, 4, {1, 2}), std::vector<double>{0, 0, 1, 2},
               "dx of {-5, -4, -3, -2}");
}

STEP("of equals the first") {
  expect_close(max_pool_backward({7, 7, 7, 7}, 2, 2, {1}), std::vector<double>{1, 0, 0, 0},
               "dx of four sevens", 1e-9, {2, 2});
}

STEP("the same as Fovea's max_pool2d on odd sizes") {
  for (const auto& [h, w] : {std::pair<int64_t, int64_t>{5, 7}, {8, 3}, {1, 13}}) {
    const std::vector<double> x = sample(h * w), dy = sample((h + 1) / 2 * ((w + 1) / 2), 2);
    const fovea::Tensor input =
        fovea::from_values({1, h, w, 1}, x, fovea::DType::float64).set_requires_grad();
    const fovea::Tensor y = fovea::max_pool2d(input);
    y.backward(fovea::from_values(y.shape(), dy, fovea::DType::float64));
    expect_close(max_pool_backward(x, h, w, dy), input.grad().values(), fmt::format("dx of {} x {}", h, w),
                 1e-9, {h, w});
  }
}
