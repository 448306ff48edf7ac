// Exercise 50: the case of the crash on odd sizes
//
// Goal:      Find what is wrong with a kernel that passes its tests and crashes in use, and fix it.
// Builds on: 9
// Minutes:   15
// Source:    cuda/sim/README.md, "What it reports"; NVIDIA's compute-sanitizer finds the same on a GPU
#pragma once
#include <fovea/cuda/platform.h>

#include "detective.h"

namespace {

// y[i] = 2 x[i] for i from 0 to n - 1. Each thread has four neighbouring numbers.
//
// The symptom: it is right for the sizes of its tests, 64, 256 and 1024. With 1001 numbers it crashes now and
// then, or a buffer that has nothing to do with it has other numbers afterwards.
//
// Do not edit this kernel: the check runs it.
__global__ void broken(const float* x, float* y, int n) {
  const int first = 4 * int(blockIdx.x * blockDim.x + threadIdx.x);  // a
  if (first >= n) return;                                            // b
  for (int k = 0; k < 4; ++k) {                                      // c
    const float value = x[first + k];                                // d
    y[first + k] = 2 * value;                                        // e
  }
}

// ---- your code: 3 lines ----
constexpr Fault fault = Fault::unknown;
constexpr Line line{'?'};          // the first line that does what it must not
constexpr int faulty_thread = -1;  // the thread that does it, for n = 1001 and one block of 256 threads
// ---- end ----

// The same kernel: fix it.
__global__ void fixed(const float* x, float* y, int n) {
  const int first = 4 * int(blockIdx.x * blockDim.x + threadIdx.x);
  // ---- your code: 4 to 6 lines ----
  if (first >= n) return;
  for (int k = 0; k < 4; ++k) {
    const float value = x[first + k];
    y[first + k] = 2 * value;
  }
  // ---- end ----
}

}  // namespace
