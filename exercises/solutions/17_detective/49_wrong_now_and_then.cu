// Exercise 49: the case of the kernel that is wrong now and then
#pragma once
#include <fovea/cuda/platform.h>

#include "detective.h"

namespace {

// The block goes through x in rounds of 64 numbers, and adds to each number the next one of its 64; the last
// one's next is the first. Launched with one block of 64 threads.
//
// The symptom: one round is always right. With more rounds, some numbers of y are wrong, on some GPUs, and
// others in each run.
__global__ void broken(const float* x, float* y, int rounds) {
  __shared__ float tile[64];
  const int i = int(threadIdx.x);
  for (int round = 0; round < rounds; ++round) {
    tile[i] = x[64 * round + i];            // a
    __syncthreads();                        // b
    const float next = tile[(i + 1) % 64];  // c
    y[64 * round + i] = tile[i] + next;     // d
  }
}

constexpr Fault fault = Fault::race;
constexpr Line line{'a'};
constexpr int fewest_rounds = 2;

// The same kernel, fixed.
__global__ void fixed(const float* x, float* y, int rounds) {
  __shared__ float tile[64];
  const int i = int(threadIdx.x);
  for (int round = 0; round < rounds; ++round) {
    tile[i] = x[64 * round + i];
    __syncthreads();
    const float next = tile[(i + 1) % 64];
    y[64 * round + i] = tile[i] + next;
    __syncthreads();  // before the next round overwrites the tile
  }
}

}  // namespace
