// Exercise 52: the case of the last number
#pragma once
#include <fovea/cuda/platform.h>

#include "detective.h"

namespace {

// y[i] = x[i - 1] + x[i] + x[i + 1], for i from 0 to n - 1, with 0 for what is outside of x. Launched with
// blocks of 64 threads, one for each number. tile[1 + i] is the number of thread i; tile[0] and tile[65] are
// its block's neighbours on the left and on the right.
//
// The symptom: y[n - 1] is right for the sizes of its tests, 10, 100 and 1000. For some sizes it changes from
// run to run, and sometimes is NaN. All other numbers are right.
__global__ void broken(const float* x, float* y, int n) {
  __shared__ float tile[66];
  const int i = int(threadIdx.x), at = int(blockIdx.x) * 64 + i;
  tile[1 + i] = at < n ? x[at] : 0.0f;                      // a
  if (i == 0) tile[0] = at > 0 ? x[at - 1] : 0.0f;          // b
  if (i == 63 && at + 1 < n) tile[65] = x[at + 1];          // c
  __syncthreads();                                          // d
  if (at < n) y[at] = tile[i] + tile[i + 1] + tile[i + 2];  // e
}

constexpr Fault fault = Fault::uninitialized_read;
constexpr Line line{'e'};
constexpr int smallest_n = 64;  // the last number belongs to thread 63, which reads tile[65]

// The same kernel, fixed.
__global__ void fixed(const float* x, float* y, int n) {
  __shared__ float tile[66];
  const int i = int(threadIdx.x), at = int(blockIdx.x) * 64 + i;
  tile[1 + i] = at < n ? x[at] : 0.0f;
  if (i == 0) tile[0] = at > 0 ? x[at - 1] : 0.0f;
  if (i == 63) tile[65] = at + 1 < n ? x[at + 1] : 0.0f;
  __syncthreads();
  if (at < n) y[at] = tile[i] + tile[i + 1] + tile[i + 2];
}

}  // namespace
