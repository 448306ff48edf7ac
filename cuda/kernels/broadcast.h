#pragma once
#include <cstdint>

namespace fovea {

// Maps element i of the result to the elements of two operands: strides are 0 along repeated axes.
struct BroadcastDims {
  static constexpr int max_rank = 6;
  int rank = 0;
  int64_t sizes[max_rank] = {};
  int64_t a_strides[max_rank] = {};
  int64_t b_strides[max_rank] = {};
};

// The same elements in the same order with as few axes as possible: axes of size 1 are dropped, and
// neighbours that both operands traverse with a single stride are joined. (N, H, W, C) and (C) become two
// axes. Each axis that is gone saves a division.
inline BroadcastDims collapsed(const BroadcastDims& d) {
  BroadcastDims r;
  for (int axis = 0; axis < d.rank; ++axis) {
    if (d.sizes[axis] == 1) continue;
    const int last = r.rank - 1;
    if (last >= 0 && r.a_strides[last] == d.a_strides[axis] * d.sizes[axis] &&
        r.b_strides[last] == d.b_strides[axis] * d.sizes[axis]) {
      r.sizes[last] *= d.sizes[axis];
      r.a_strides[last] = d.a_strides[axis];
      r.b_strides[last] = d.b_strides[axis];
    } else {
      r.sizes[r.rank] = d.sizes[axis];
      r.a_strides[r.rank] = d.a_strides[axis];
      r.b_strides[r.rank] = d.b_strides[axis];
      ++r.rank;
    }
  }
  return r;
}

}  // namespace fovea
