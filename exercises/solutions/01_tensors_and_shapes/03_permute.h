// Exercise 3: permute the axes
#pragma once
#include <cstdint>
#include <vector>

inline std::vector<float> permute(const std::vector<float>& x, const std::vector<int64_t>& shape,
                                  const std::vector<int>& order) {
  std::vector<float> result(x.size());
  const int rank = int(shape.size());
  // How far apart in x two neighbours along each of its axes lie.
  std::vector<int64_t> stride(shape.size(), 1);
  for (int axis = rank - 2; axis >= 0; --axis) stride[axis] = stride[axis + 1] * shape[axis + 1];
  // The result is written from front to back. Its last index is the remainder by its last size, and so on: a
  // walk through the result's axes takes the number i apart into indices, and each index moves along the axis
  // of x that it belongs to.
  for (size_t i = 0; i < result.size(); ++i) {
    int64_t rest = int64_t(i), from = 0;
    for (int axis = rank - 1; axis >= 0; --axis) {
      from += rest % shape[order[axis]] * stride[order[axis]];
      rest /= shape[order[axis]];
    }
    result[i] = x[from];
  }
  return result;
}
