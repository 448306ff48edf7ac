// Exercise 53: the case of the kernel that hangs
#pragma once
#include <fovea/cuda/platform.h>

#include "detective.h"

namespace {

// y[i] = x[i] minus the mean of x, for i from 0 to n - 1. Launched with one block of 64 threads, which adds
// up the sums of its threads by halves.
//
// The symptom: on one GPU it never ends. On another it ends, and the mean is wrong in some runs.
__global__ void broken(const float* x, float* y, int n) {
  __shared__ float sums[64];
  const int thread = int(threadIdx.x);
  float sum = 0;
  for (int i = thread; i < n; i += 64) sum += x[i];  // a
  sums[thread] = sum;                                // b
  for (int half = 32; half > 0; half /= 2)
    if (thread < half) {                    // c
      __syncthreads();                      // d
      sums[thread] += sums[thread + half];  // e
    }
  __syncthreads();                                                        // f
  for (int i = thread; i < n; i += 64) y[i] = x[i] - sums[0] / float(n);  // g
}

constexpr Fault fault = Fault::divergent_barrier;
constexpr Line line{'d'};
constexpr int first_other_thread = 32;

// The same kernel, fixed.
__global__ void fixed(const float* x, float* y, int n) {
  __shared__ float sums[64];
  const int thread = int(threadIdx.x);
  float sum = 0;
  for (int i = thread; i < n; i += 64) sum += x[i];
  sums[thread] = sum;
  for (int half = 32; half > 0; half /= 2) {
    __syncthreads();  // for all threads, also those that add nothing
    if (thread < half) sums[thread] += sums[thread + half];
  }
  __syncthreads();
  for (int i = thread; i < n; i += 64) y[i] = x[i] - sums[0] / float(n);
}

}  // namespace
