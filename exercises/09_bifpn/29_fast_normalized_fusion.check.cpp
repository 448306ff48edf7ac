#include "check.h"

#include <29_fast_normalized_fusion.h>

using namespace fovea::learn;

STEP("equal weights give the mean, but for epsilon") {
  expect_close(fuse({{2, 4}, {4, 8}}, {1, 1}, 0), std::vector<double>{3, 6}, "weights 1, 1, epsilon 0");
  expect_close(fuse({{2}, {4}}, {1, 1}, 2), std::vector<double>{1.5},
               "weights 1, 1, epsilon 2: (2 + 4) / (2 + 2)");
}

STEP("weights need not add up to 1") {
  expect_close(fuse({{10}, {20}}, {1, 3}, 0), std::vector<double>{17.5}, "weights 1, 3");
}

STEP("a negative weight counts as 0") {
  expect_close(fuse({{10}, {20}, {30}}, {-5, 1, 1}, 0), std::vector<double>{25}, "weights -5, 1, 1");
}

STEP("all weights negative: 0, and not NaN") {
  expect_close(fuse({{10}, {20}}, {-1, -2}), std::vector<double>{0}, "weights -1, -2");
}
