#include "check.h"

#include <03_permute.h>

#include <algorithm>
#include <numeric>

using namespace fovea::learn;

namespace {

using Sizes = std::vector<int64_t>;
using Numbers = std::vector<float>;

Numbers numbered(const Sizes& shape) {
  Numbers x(size_t(std::accumulate(shape.begin(), shape.end(), int64_t(1), std::multiplies<>())));
  std::iota(x.begin(), x.end(), 0.0f);
  return x;
}

// x's element at an index lies in the result where each of its indices goes to its axis' new place.
Numbers reference(const Numbers& x, const Sizes& shape, const std::vector<int>& order) {
  Numbers result(x.size());
  Sizes index(shape.size(), 0);
  for (float value : x) {
    int64_t to = 0;
    for (int axis : order) to = to * shape[axis] + index[axis];
    result[to] = value;
    for (int axis = int(shape.size()) - 1; axis >= 0 && ++index[axis] == shape[axis]; --axis) index[axis] = 0;
  }
  return result;
}

void expect_permuted(const Sizes& shape, const std::vector<int>& order) {
  const Numbers x = numbered(shape), got = permute(x, shape, order), expected = reference(x, shape, order);
  const std::string what = fmt::format("permute(0, 1, 2 ... of shape {{{}}}, order {{{}}})",
                                       fmt::join(shape, ", "), fmt::join(order, ", "));
  if (got == expected) return;
  std::vector<int> inverse(order.size());
  for (int axis = 0; axis < int(order.size()); ++axis) inverse[order[axis]] = axis;
  expect(got != reference(x, shape, inverse),
         "{}: this is the inverse, as if axis k of x went to axis order[k] of the result; axis k of the "
         "result is "
         "axis order[k] of x",
         what);
  Sizes permuted;
  for (int axis : order) permuted.push_back(shape[axis]);
  expect_close(got, std::vector<double>(expected.begin(), expected.end()), what, 0, fovea::Shape(permuted));
}

}  // namespace

STEP("order {0, 1} copies a matrix") { expect_permuted({2, 3}, {0, 1}); }

STEP("order {1, 0} transposes a matrix") {
  // 0 1 2        0 3
  // 3 4 5   ->   1 4
  //              2 5
  expect_close(permute({0, 1, 2, 3, 4, 5}, {2, 3}, {1, 0}), std::vector<double>{0, 3, 1, 4, 2, 5},
               "permute({0, 1, 2, 3, 4, 5}, {2, 3}, {1, 0})", 0, {3, 2});
}

STEP("order {2, 0, 1} is not its inverse, {1, 2, 0}") {
  expect_permuted({2, 3, 4}, {2, 0, 1});
  expect_permuted({2, 3, 4}, {1, 2, 0});
}

STEP("images from NHWC to NCHW, and back") {
  expect_permuted({2, 5, 7, 3}, {0, 3, 1, 2});
  expect_permuted({2, 3, 5, 7}, {0, 2, 3, 1});
}

STEP("a scalar, sizes 1 and 0, and all orders of four axes") {
  expect_permuted({}, {});
  expect_permuted({5}, {0});
  expect_permuted({1, 7, 1}, {1, 2, 0});
  expect_permuted({3, 0, 2}, {2, 1, 0});
  std::vector<int> order = {0, 1, 2, 3};
  do expect_permuted({2, 3, 5, 4}, order);
  while (std::next_permutation(order.begin(), order.end()));
}
