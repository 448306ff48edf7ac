// Exercise 15: a matrix product, one thread a number
#pragma once
#include <fovea/cuda/platform.h>

namespace {

__global__ void product(int m, int n, int k, const float* a, const float* b, float* c) {
  const int row = int(blockIdx.y * blockDim.y + threadIdx.y),
            column = int(blockIdx.x * blockDim.x + threadIdx.x);
  if (row >= m || column >= n) return;
  float sum = 0;  // in a register: c is written once
  for (int l = 0; l < k; ++l) sum += a[row * k + l] * b[l * n + column];
  c[row * n + column] = sum;
}

}  // namespace
