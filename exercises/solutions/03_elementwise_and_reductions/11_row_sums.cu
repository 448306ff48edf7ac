// Exercise 11: row sums by warps
#pragma once
#include <cstdint>

#include <fovea/cuda/platform.h>

namespace {

__global__ void row_sums(const float* x, float* sums, int rows, int columns) {
  const int lane = int(threadIdx.x % 32);
  const int row = int((blockIdx.x * blockDim.x + threadIdx.x) / 32);  // the warp's number in the grid
  if (row >= rows) return;                                            // all lanes of a warp, or none
  float sum = 0;
  // Neighbouring lanes read neighbouring columns: one request for 128 bytes.
  for (int column = lane; column < columns; column += 32) sum += x[int64_t(row) * columns + column];
  // Outside of the loop above: there, the lanes behind the last column would not take part.
  for (int step = 16; step > 0; step /= 2) sum += __shfl_down_sync(0xffffffffu, sum, step);
  if (lane == 0) sums[row] = sum;
}

}  // namespace
