// Exercise 51: the case of the slow sums
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
__global__ void broken(const float* x, float* sums) {
  __shared__ float tile[32][40];  // a
  const int thread = int(threadIdx.x);
  for (int i = thread; i < 32 * 40; i += 32) tile[i / 40][i % 40] = x[i];  // b
  __syncthreads();                                                         // c
  float sum = 0;
  for (int column = 0; column < 40; ++column) sum += tile[thread][column];  // d
  sums[thread] = sum;                                                       // e
}

constexpr Fault fault = Fault::bank_conflict;
constexpr Line line{'d'};
constexpr int rounds_of_a_request =
    8;  // all 32 words are in the banks 0, 8, 16 and 24, or in their neighbours

// The same kernel, fixed.
__global__ void fixed(const float* x, float* sums) {
  const int thread = int(threadIdx.x);
  __shared__ float tile[32][41];  // the last number of a row is not used: row t begins in bank 9 t % 32
  for (int i = thread; i < 32 * 40; i += 32) tile[i / 40][i % 40] = x[i];
  __syncthreads();
  float sum = 0;
  for (int column = 0; column < 40; ++column) sum += tile[thread][column];
  sums[thread] = sum;
}

}  // namespace
