// Exercise 53: the case of the kernel that hangs
//
// Goal:      Find why a kernel hangs on one GPU and computes a wrong mean on another, and fix it.
// Builds on: 12
// Minutes:   20
// Source:    CUDA C++ Programming Guide, "Synchronization Functions"; cuda/sim/README.md, "What it reports"
#pragma once
#include <fovea/cuda/platform.h>

#include "detective.h"

namespace {

// y[i] = x[i] minus the mean of x, for i from 0 to n - 1. Launched with one block of 64 threads, which adds
// up the sums of its threads by halves.
//
// The symptom: on one GPU it never ends. On another it ends, and the mean is wrong in some runs.
//
// Do not edit this kernel: the check runs it.
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

// ---- your code: 3 lines ----
constexpr Fault fault = Fault::unknown;
constexpr Line line{'?'};               // the line that stands in the wrong place
constexpr int first_other_thread = -1;  // the lowest thread that does not come to it in the first round
// ---- end ----

// The same kernel: fix it.
__global__ void fixed(const float* x, float* y, int n) {
  __shared__ float sums[64];
  const int thread = int(threadIdx.x);
  float sum = 0;
  for (int i = thread; i < n; i += 64) sum += x[i];
  sums[thread] = sum;
  // ---- your code: 5 to 7 lines ----
  for (int half = 32; half > 0; half /= 2)
    if (thread < half) {
      __syncthreads();
      sums[thread] += sums[thread + half];
    }
  __syncthreads();
  // ---- end ----
  for (int i = thread; i < n; i += 64) y[i] = x[i] - sums[0] / float(n);
}

}  // namespace
