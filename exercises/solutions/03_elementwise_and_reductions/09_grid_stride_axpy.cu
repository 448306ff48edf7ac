// Exercise 9: a grid-stride loop
#pragma once
#include <cstdint>

#include <fovea/cuda/platform.h>

namespace {

__global__ void axpy(float a, const float* x, float* y, int64_t n) {
  // 64 bits from the beginning: blockIdx.x * blockDim.x without a cast is a product of unsigned, which
  // overflows at 4 billion.
  const int64_t first = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
  const int64_t stride = int64_t(gridDim.x) * blockDim.x;  // all threads of the launch
  for (int64_t i = first; i < n; i += stride) y[i] = a * x[i] + y[i];
}

}  // namespace
