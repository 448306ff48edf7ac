// Exercise 13: transpose by tiles
#pragma once
#include <fovea/cuda/platform.h>

namespace {

constexpr int tile = 32;

__global__ void transpose(const float* x, float* y, int rows, int columns) {
  // The 33rd number of a row is never used: it moves each row on by one bank.
  __shared__ float words[tile][tile + 1];
  const int first_row = int(blockIdx.y) * tile, first_column = int(blockIdx.x) * tile;
  const int across = int(threadIdx.x), down = int(threadIdx.y);  // neighbouring threads differ in threadIdx.x
  if (first_row + down < rows && first_column + across < columns)
    words[down][across] = x[(first_row + down) * columns + first_column + across];
  __syncthreads();
  // Of y's tile this thread has row `down`, which is x's column: across and down have changed places in the
  // tile, not in y.
  if (first_column + down < columns && first_row + across < rows)
    y[(first_column + down) * rows + first_row + across] = words[across][down];
}

}  // namespace
