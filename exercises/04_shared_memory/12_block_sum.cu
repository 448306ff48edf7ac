// Exercise 12: sum the numbers of a block
//
// Goal:      One number for each block: the sum of its 64 inputs, by halves, in shared memory.
// Builds on: 9
// Minutes:   25
// Source:    CUDA C++ Programming Guide, "Shared Memory" and "Synchronization Functions"; lesson 3
#pragma once
#include <fovea/cuda/platform.h>

namespace {

// Launched with 64 threads a block. x holds 64 numbers for each block, sums one. Step by step the first half
// of the threads adds what the second half holds: 32 additions, then 16, 8, 4, 2, 1. Always the same pairs,
// and so always the same bits.
__global__ void block_sums(const float* x, float* sums) {
  __shared__ float values[64];
  values[threadIdx.x] = x[blockIdx.x * 64 + threadIdx.x];
  // ---- your code: 5 to 8 lines ----
  if (threadIdx.x == 0) sums[blockIdx.x] = values[0];
  // ---- end ----
}

}  // namespace
