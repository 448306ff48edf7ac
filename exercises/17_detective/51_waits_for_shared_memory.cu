// Exercise 51: the case of the slow sums
//
// Goal:      Find why a kernel waits for shared memory, and fix it.
// Builds on: 13
// Minutes:   25
// Source:    CUDA C++ Programming Guide, "Shared Memory" of each compute capability (the banks);
//            cuda/sim/README.md, "Score it"
#pragma once
#include <fovea/cuda/platform.h>

#include "detective.h"

namespace {

// The sums of the 32 rows of x, which has 40 columns, by one block of 32 threads: one thread for each row.
// The numbers go through shared memory, so that neighbouring threads read neighbouring numbers of x.
//
// The symptom: the sums are right, but the kernel takes several times as long as with 41 columns.
//
// Shared memory has 32 banks. Word w, counted from the array's begin, is in bank w % 32. In one round each
// bank gives one word to all lanes that ask for it; a request takes as many rounds as the bank with the most
// different words needs.
//
// Do not edit this kernel: the check runs it.
__global__ void broken(const float* x, float* sums) {
  __shared__ float tile[32][40];  // a
  const int thread = int(threadIdx.x);
  for (int i = thread; i < 32 * 40; i += 32) tile[i / 40][i % 40] = x[i];  // b
  __syncthreads();                                                         // c
  float sum = 0;
  for (int column = 0; column < 40; ++column) sum += tile[thread][column];  // d
  sums[thread] = sum;                                                       // e
}

// ---- your code: 3 lines ----
constexpr Fault fault = Fault::unknown;
constexpr Line line{'?'};                // the line that takes more rounds than it has to
constexpr int rounds_of_a_request = -1;  // there
// ---- end ----

// The same kernel: fix it.
__global__ void fixed(const float* x, float* sums) {
  const int thread = int(threadIdx.x);
  // ---- your code: 5 to 7 lines ----
  __shared__ float tile[32][40];
  for (int i = thread; i < 32 * 40; i += 32) tile[i / 40][i % 40] = x[i];
  __syncthreads();
  float sum = 0;
  for (int column = 0; column < 40; ++column) sum += tile[thread][column];
  sums[thread] = sum;
  // ---- end ----
}

}  // namespace
