// Exercise 16: a matrix product by tiles
#pragma once
#include <fovea/cuda/platform.h>

namespace {

constexpr int tile = 16;

__global__ void product(int m, int n, int k, const float* a, const float* b, float* c) {
  __shared__ float a_tile[tile][tile], b_tile[tile][tile];
  const int across = int(threadIdx.x), down = int(threadIdx.y);
  const int row = int(blockIdx.y) * tile + down, column = int(blockIdx.x) * tile + across;
  float sum = 0;
  for (int first = 0; first < k; first += tile) {
    // Both are read along rows, by threads that differ in `across`. A 0 adds nothing to any sum.
    const int a_column = first + across, b_row = first + down;
    a_tile[down][across] = row < m && a_column < k ? a[row * k + a_column] : 0.0f;
    b_tile[down][across] = b_row < k && column < n ? b[b_row * n + column] : 0.0f;
    __syncthreads();
    for (int l = 0; l < tile; ++l) sum += a_tile[down][l] * b_tile[l][across];
    __syncthreads();
  }
  if (row < m && column < n) c[row * n + column] = sum;
}

}  // namespace
