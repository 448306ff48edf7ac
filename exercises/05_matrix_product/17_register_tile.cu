// Exercise 17: a matrix product with tiles in registers
//
// Goal:      Each thread computes 4 x 4 numbers of c: 8 reads from shared memory for 16 multiply-adds.
// Builds on: 16
// Minutes:   40
// Source:    V. Volkov, J. Demmel, Benchmarking GPUs to Tune Dense Linear Algebra (SC 2008), section 4;
//            cuda/kernels/gemm_tiled.cu, which does the same with tensor cores
#pragma once
#include <fovea/cuda/platform.h>

namespace {

constexpr int side = 64, depth = 8, threads = 16, own = 4;  // own = side / threads

// a: m x k, b: k x n, c: m x n, row-major. Launched with blocks of 16 x 16 threads for 64 x 64 numbers of c.
// In the kernel of exercise 16 each multiply-add takes two reads from shared memory, which is what it then
// waits for. Here a thread keeps 16 sums in registers. For each l it reads 4 numbers of a's column and 4 of
// b's row to registers, and multiplies each with each.
//
// The thread (across, down) has the rows down + 16 i and the columns across + 16 j of the block's part of c,
// i and j from 0 to 3, and sum[i][j] for them. So neighbouring threads read neighbours of b, and write
// neighbours of c.
__global__ void product(int m, int n, int k, const float* a, const float* b, float* c) {
  __shared__ float a_tile[side][depth + 1], b_tile[depth][side];  // + 1: two rows in different banks
  const int across = int(threadIdx.x), down = int(threadIdx.y), thread = down * threads + across;
  const int first_row = int(blockIdx.y) * side, first_column = int(blockIdx.x) * side;
  float sum[own][own] = {};
  for (int first = 0; first < k; first += depth) {
    // 512 numbers of each, by 256 threads; 0 where they are outside of the matrix.
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
      // ---- your code: 5 to 8 lines ----
      // Add column l of a_tile times row l of b_tile to the sums.
      sum[0][0] += a_tile[down][l] * b_tile[l][across];
      // ---- end ----
    }
    __syncthreads();
  }
  // ---- your code: 4 to 7 lines ----
  // Write the sums that are inside of c.
  if (first_row + down < m && first_column + across < n)
    c[(first_row + down) * n + first_column + across] = sum[0][0];
  // ---- end ----
}

}  // namespace
