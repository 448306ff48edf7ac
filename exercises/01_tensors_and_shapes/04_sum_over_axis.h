// Exercise 4: sum over an axis, and its gradient
//
// Goal:      The sums along any one axis of a tensor, and what their gradient is with respect to the tensor.
// Builds on: 1, 2
// Minutes:   25
// Source:    y = sum_k x[..., k, ...], so dx[..., k, ...] = dy for each k; ops/reduction.cpp
#pragma once
#include <cstdint>
#include <vector>

// However many axes a tensor has, one of them splits it into three: x is outer x count x inner numbers, where
// `count` is the axis' size, `outer` the product of the sizes in front of it and `inner` of those behind it.
// So three nested loops are enough.
struct Split {
  int64_t outer = 1, count = 1, inner = 1;
};

// Axis from 0 to shape.size() - 1. {2, 3, 4, 5} split at axis 1 is outer 2, count 3, inner 20.
inline Split split(const std::vector<int64_t>& shape, int axis) {
  Split s;
  for (int i = 0; i < axis; ++i) s.outer *= shape[i];
  s.count = shape[axis];
  for (int i = axis + 1; i < int(shape.size()); ++i) s.inner *= shape[i];
  return s;
}

// x: s.outer x s.count x s.inner. The result: s.outer x s.inner, in the same order, without the axis.
inline std::vector<double> sum_over_axis(const std::vector<double>& x, const Split& s) {
  std::vector<double> y(s.outer * s.inner);
  // ---- your code: 3 to 6 lines ----
  (void)x;
  // ---- end ----
  return y;
}

// dy: d(loss)/dy for the result above. Returns d(loss)/dx, as large as x.
inline std::vector<double> sum_over_axis_backward(const std::vector<double>& dy, const Split& s) {
  std::vector<double> dx(s.outer * s.count * s.inner);
  // ---- your code: 3 to 6 lines ----
  (void)dy;
  // ---- end ----
  return dx;
}
