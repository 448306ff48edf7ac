// Exercise 4: sum over an axis, and its gradient
#pragma once
#include <cstdint>
#include <vector>

struct Split {
  int64_t outer = 1, count = 1, inner = 1;
};

inline Split split(const std::vector<int64_t>& shape, int axis) {
  Split s;
  for (int i = 0; i < axis; ++i) s.outer *= shape[i];
  s.count = shape[axis];
  for (int i = axis + 1; i < int(shape.size()); ++i) s.inner *= shape[i];
  return s;
}

inline std::vector<double> sum_over_axis(const std::vector<double>& x, const Split& s) {
  std::vector<double> y(s.outer * s.inner);
  // The loop over `inner` is the innermost: it walks through x and through y number by number.
  for (int64_t o = 0; o < s.outer; ++o)
    for (int64_t k = 0; k < s.count; ++k)
      for (int64_t i = 0; i < s.inner; ++i) y[o * s.inner + i] += x[(o * s.count + k) * s.inner + i];
  return y;
}

inline std::vector<double> sum_over_axis_backward(const std::vector<double>& dy, const Split& s) {
  std::vector<double> dx(s.outer * s.count * s.inner);
  // Each x is in one sum, with factor 1: it gets that sum's gradient. Over the whole axis, dy is repeated. So
  // a sum's backward pass is a broadcast, and a broadcast's a sum.
  for (int64_t o = 0; o < s.outer; ++o)
    for (int64_t k = 0; k < s.count; ++k)
      for (int64_t i = 0; i < s.inner; ++i) dx[(o * s.count + k) * s.inner + i] = dy[o * s.inner + i];
  return dx;
}
