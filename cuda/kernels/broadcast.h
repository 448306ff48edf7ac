#pragma once
#include <cstdint>

namespace fovea {

// Where the elements of two operands lie for element i of the result: strides of 0 along repeated axes.
struct BroadcastDims {
  static constexpr int max_rank = 6;
  int rank = 0;
  int64_t sizes[max_rank] = {};
  int64_t a_strides[max_rank] = {};
  int64_t b_strides[max_rank] = {};
};

}  // namespace fovea
