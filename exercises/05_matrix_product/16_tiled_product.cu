// Exercise 16: a matrix product by tiles
//
// Goal:      The product of exercise 15 with a sixteenth of its reads: a block shares what it reads.
// Builds on: 12, 15
// Minutes:   40
// Source:    CUDA C++ Programming Guide, "Shared Memory", its second kernel; D. Kirk, W. Hwu,
//            Programming Massively Parallel Processors, "Tiled matrix multiplication"
#pragma once
#include <fovea/cuda/platform.h>

namespace {

constexpr int tile = 16;

// a: m x k, b: k x n, c: m x n, row-major, and the launch as in exercise 15: this thread has c[row][column].
// The 16 threads of a row of the block all need the same row of a, those of a column the same column of b. So
// the block goes through k in steps of 16. In each step
//
//   each thread reads one number of a and one of b to shared memory, and 0 where that is outside of the
//   matrix, the block waits, each thread adds 16 products from shared memory to its sum, the block waits
//   again, before the next step overwrites what slower threads may still be reading.
//
// All threads of a block must reach each barrier, those outside of c as well: they read for others.
__global__ void product(int m, int n, int k, const float* a, const float* b, float* c) {
  __shared__ float a_tile[tile][tile], b_tile[tile][tile];
  const int across = int(threadIdx.x), down = int(threadIdx.y);
  const int row = int(blockIdx.y) * tile + down, column = int(blockIdx.x) * tile + across;
  float sum = 0;
  for (int first = 0; first < k; first += tile) {
    // ---- your code: 7 to 9 lines ----
    a_tile[down][across] = a[0];
    b_tile[down][across] = b[0];
    sum += a_tile[down][across] * b_tile[down][across];
    // ---- end ----
  }
  if (row < m && column < n) c[row * n + column] = sum;
}

}  // namespace
