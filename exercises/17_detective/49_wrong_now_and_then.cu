// Exercise 49: the case of the kernel that is wrong now and then
//
// Goal:      Find out why a kernel is right on one GPU and wrong on another, and fix it.
// Builds on: 12
// Minutes:   20
// Source:    CUDA C++ Programming Guide, "Synchronization Functions"; cuda/sim/README.md, "What it reports"
#pragma once
#include <fovea/cuda/platform.h>

#include "detective.h"

namespace {

// The block goes through x in rounds of 64 numbers, and adds to each number the next one of its 64; the last
// one's next is the first. Launched with one block of 64 threads.
//
// The symptom: one round is always right. With more rounds, some numbers of y are wrong, on some GPUs, and
// others in each run.
//
// Do not edit this kernel: the check runs it.
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

// ---- your code: 3 lines ----
constexpr Fault fault = Fault::unknown;
constexpr Line line{'?'};          // the line that may overwrite what another thread still has to read
constexpr int fewest_rounds = -1;  // with which it may go wrong
// ---- end ----

// The same kernel: fix it.
__global__ void fixed(const float* x, float* y, int rounds) {
  __shared__ float tile[64];
  const int i = int(threadIdx.x);
  for (int round = 0; round < rounds; ++round) {
    // ---- your code: 5 lines ----
    tile[i] = x[64 * round + i];
    __syncthreads();
    const float next = tile[(i + 1) % 64];
    y[64 * round + i] = tile[i] + next;
    // ---- end ----
  }
}

}  // namespace
