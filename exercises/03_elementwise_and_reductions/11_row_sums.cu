// Exercise 11: row sums by warps
//
// Goal:      The sums of a matrix's rows, one warp a row, without shared memory and without a barrier.
// Builds on: 9
// Minutes:   30
// Source:    CUDA C++ Programming Guide, "Warp Shuffle Functions"; warp_sum in cuda/device/reduce.h
#pragma once
#include <cstdint>

#include <fovea/cuda/platform.h>

namespace {

// The 32 threads of a warp, its lanes, can read each other's registers: __shfl_down_sync(0xffffffff, value,
// d) gives each lane the `value` of the lane d places further on. The first argument has a bit for each lane
// that takes part; 0xffffffff names all 32, and all 32 must call it. (Lanes from 32 - d on get their own
// value, which is not used.) After steps of 16, 8, 4, 2 and 1, each adding what it got, lane
// 0 has the sum of all lanes:
//
//   d = 2     a         b       c     d          (a warp of 4, for this picture)
//             a+c       b+d     .     .
//   d = 1     a+c+b+d   .       .     .
//
// Launched with blocks of 128 threads, 4 warps, and at least a warp for each row; warps that are too many do
// nothing. x: rows x columns, row-major. Lane l adds columns l, l + 32, l + 64 ... of its row, and then the
// lanes add up.
__global__ void row_sums(const float* x, float* sums, int rows, int columns) {
  const int lane = int(threadIdx.x % 32);
  // ---- your code: 6 to 9 lines ----
  (void)lane;
  const int row = int(blockIdx.x);
  if (row < rows && threadIdx.x == 0) sums[row] = x[int64_t(row) * columns];
  // ---- end ----
}

}  // namespace
