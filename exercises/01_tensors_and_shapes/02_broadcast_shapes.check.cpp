#include "check.h"

#include <02_broadcast_shapes.h>

using namespace fovea::learn;

namespace {

using Sizes = std::vector<int64_t>;

std::string call(const Sizes& a, const Sizes& b) {
  return fmt::format("broadcast_shapes({{{}}}, {{{}}})", fmt::join(a, ", "), fmt::join(b, ", "));
}

// Either operand may be the one that is repeated.
void expect_shape(const Sizes& a, const Sizes& b, const Sizes& expected) {
  for (const auto& [x, y] : {std::pair{a, b}, std::pair{b, a}}) {
    try {
      expect_equal(broadcast_shapes(x, y), expected, call(x, y));
    } catch (const std::invalid_argument& refused) {
      wrong(fmt::format("{}: expected {{{}}}, and it was refused: {}", call(x, y), fmt::join(expected, ", "),
                        refused.what()));
    }
  }
}

void expect_no_shape(const Sizes& a, const Sizes& b) {
  for (const auto& [x, y] : {std::pair{a, b}, std::pair{b, a}})
    expect_refused([&] { broadcast_shapes(x, y); }, call(x, y));
}

}  // namespace

STEP("equal shapes stay as they are") {
  expect_shape({3}, {3}, {3});
  expect_shape({2, 3, 4}, {2, 3, 4}, {2, 3, 4});
  expect_shape({}, {}, {});
}

STEP("an axis of size 1 is repeated, in a or in b") {
  expect_shape({3, 1}, {3, 4}, {3, 4});
  expect_shape({3, 1}, {1, 4}, {3, 4});
}

STEP("missing axes are in front: shapes are aligned at the last axis") {
  expect_shape({3, 4}, {4}, {3, 4});
  expect_shape({2, 3, 4}, {3, 1}, {2, 3, 4});
  expect_shape({3, 1}, {4}, {3, 4});
  expect_shape({2, 3}, {}, {2, 3});
  expect_shape({8, 1, 6, 1}, {7, 1, 5}, {8, 7, 6, 5});
}

STEP("sizes that differ and are not 1 are refused") {
  expect_no_shape({3}, {4});
  expect_no_shape({2, 3}, {2});
  expect_no_shape({2, 3}, {3, 2});
  expect_no_shape({4, 2}, {2, 2});  // not even where one size divides the other
}

STEP("size 0: repeated zero times, nothing is left") {
  expect_shape({0}, {0}, {0});
  expect_shape({0}, {1}, {0});
  expect_shape({5, 1}, {0}, {5, 0});
  expect_no_shape({0}, {3});
}
