// Exercise 15: a matrix product, one thread a number
//
// Goal:      c = a b by the definition, with the threads laid out so that memory is read in rows.
// Builds on: 9
// Minutes:   15
// Source:    c[i][j] = sum_k a[i][k] b[k][j]; CUDA C++ Programming Guide, "Shared Memory", its first kernel
#pragma once
#include <fovea/cuda/platform.h>

namespace {

// a: m x k, b: k x n, c: m x n, all row-major: b[l][j] is b[l * n + j]. Launched with blocks of 16 x 16
// threads, and gridDim.x of them across c, gridDim.y down. threadIdx.x runs along a row of c: the threads of
// a warp then read neighbours of b and write neighbours of c. The last blocks stick out beyond c. The sum is
// 0 where k is 0.
__global__ void product(int m, int n, int k, const float* a, const float* b, float* c) {
  // ---- your code: 5 to 7 lines ----
  (void)n, (void)k, (void)a, (void)b;
  if (m > 0 && threadIdx.x + threadIdx.y + blockIdx.x + blockIdx.y == 0) c[0] = 0;
  // ---- end ----
}

}  // namespace
