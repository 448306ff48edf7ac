// Exercise 52: the case of the last number
//
// Goal:      Find why the last of a kernel's numbers changes from run to run, and fix it.
// Builds on: 12
// Minutes:   20
// Source:    cuda/sim/README.md, "What it reports"
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
//
// Do not edit this kernel: the check runs it.
__global__ void broken(const float* x, float* y, int n) {
  __shared__ float tile[66];
  const int i = int(threadIdx.x), at = int(blockIdx.x) * 64 + i;
  tile[1 + i] = at < n ? x[at] : 0.0f;                      // a
  if (i == 0) tile[0] = at > 0 ? x[at - 1] : 0.0f;          // b
  if (i == 63 && at + 1 < n) tile[65] = x[at + 1];          // c
  __syncthreads();                                          // d
  if (at < n) y[at] = tile[i] + tile[i + 1] + tile[i + 2];  // e
}

// ---- your code: 3 lines ----
constexpr Fault fault = Fault::unknown;
constexpr Line line{'?'};       // the line at which a thread does what it must not
constexpr int smallest_n = -1;  // for which it happens
// ---- end ----

// The same kernel: fix it.
__global__ void fixed(const float* x, float* y, int n) {
  __shared__ float tile[66];
  const int i = int(threadIdx.x), at = int(blockIdx.x) * 64 + i;
  // ---- your code: 5 lines ----
  tile[1 + i] = at < n ? x[at] : 0.0f;
  if (i == 0) tile[0] = at > 0 ? x[at - 1] : 0.0f;
  if (i == 63 && at + 1 < n) tile[65] = x[at + 1];
  __syncthreads();
  if (at < n) y[at] = tile[i] + tile[i + 1] + tile[i + 2];
  // ---- end ----
}

}  // namespace
