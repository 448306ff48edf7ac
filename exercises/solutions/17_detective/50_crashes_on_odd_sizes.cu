// Exercise 50: the case of the crash on odd sizes
#pragma once
#include <fovea/cuda/platform.h>

#include "detective.h"

namespace {

// y[i] = 2 x[i] for i from 0 to n - 1. Each thread has four neighbouring numbers.
//
// The symptom: it is right for the sizes of its tests, 64, 256 and 1024. With 1001 numbers it crashes now and
// then, or a buffer that has nothing to do with it has other numbers afterwards.
__global__ void broken(const float* x, float* y, int n) {
  const int first = 4 * int(blockIdx.x * blockDim.x + threadIdx.x);  // a
  if (first >= n) return;                                            // b
  for (int k = 0; k < 4; ++k) {                                      // c
    const float value = x[first + k];                                // d
    y[first + k] = 2 * value;                                        // e
  }
}

constexpr Fault fault = Fault::out_of_bounds;
constexpr Line line{'d'};
constexpr int faulty_thread = 250;  // it has the numbers 1000 to 1003

// The same kernel, fixed.
__global__ void fixed(const float* x, float* y, int n) {
  const int first = 4 * int(blockIdx.x * blockDim.x + threadIdx.x);
  for (int k = 0; k < 4 && first + k < n; ++k) {
    const float value = x[first + k];
    y[first + k] = 2 * value;
  }
}

}  // namespace
