// Exercise 17: a matrix product with tiles in registers
#pragma once
#include <fovea/cuda/platform.h>

namespace {

constexpr int side = 64, depth = 8, threads = 16, own = 4;  // own = side / threads

__global__ void product(int m, int n, int k, const float* a, const float* b, float* c) {
  __shared__ float a_tile[side][depth + 1], b_tile[depth][side];  // + 1: two rows in different banks
  const int across = int(threadIdx.x), down = int(threadIdx.y), thread = down * threads + across;
  const int first_row = int(blockIdx.y) * side, first_column = int(blockIdx.x) * side;
  float sum[own][own] = {};
  for (int first = 0; first < k; first += depth) {
    for (int i = thread; i < side * depth; i += threads * threads) {
      const int row = first_row + i / depth, l = first + i % depth;
      a_tile[i / depth][i % depth] = row < m && l < k ? a[row * k + l] : 0.0f;
    }
    for (int i = thread; i < side * depth; i += threads * threads) {
      const int l = first + i / side, column = first_column + i % side;
      b_tile[i / side][i % side] = l < k && column < n ? b[l * n + column] : 0.0f;
    }
    __syncthreads();
    for (int l = 0; l < depth; ++l) {
      // Once the compiler has unrolled the loops, all indices are constants, and these arrays are registers.
      float of_a[own], of_b[own];
      for (int i = 0; i < own; ++i) of_a[i] = a_tile[down + threads * i][l];
      for (int j = 0; j < own; ++j) of_b[j] = b_tile[l][across + threads * j];
      for (int i = 0; i < own; ++i)
        for (int j = 0; j < own; ++j) sum[i][j] += of_a[i] * of_b[j];
    }
    __syncthreads();
  }
  for (int i = 0; i < own; ++i)
    for (int j = 0; j < own; ++j) {
      const int row = first_row + down + threads * i, column = first_column + across + threads * j;
      if (row < m && column < n) c[row * n + column] = sum[i][j];
    }
}

}  // namespace
