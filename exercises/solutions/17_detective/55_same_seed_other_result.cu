// Exercise 55: the case of the same seed
#pragma once
#include <cstdint>

#include <fovea/cuda/device/grid.h>
#include <fovea/cuda/device/last_block.h>
#include <fovea/cuda/device/reduce.h>
#include <fovea/cuda/platform.h>

#include "detective.h"

namespace {

// *total = the sum of x[0] .. x[n - 1]. Each block appends its sum to a list, and the last one to finish adds
// up the list. *count and *ticket are 0 before the launch and after it.
//
// The symptom: the same program with the same seed prints another loss in each run. The losses differ in
// their last digits at first, and a thousand steps later in all of them. Nothing is reported.
__global__ void broken(const float* x, int64_t n, float* list, int* count, unsigned* ticket, float* total) {
  float value = 0;
  for (int64_t i : fovea::grid_stride(n)) value += x[i];    // a
  value = fovea::block_sum(value);                          // b
  if (threadIdx.x == 0) list[atomicAdd(count, 1)] = value;  // c
  if (!fovea::is_last_block(ticket, gridDim.x)) return;     // d
  if (threadIdx.x != 0) return;                             // e
  float sum = 0;
  for (unsigned block = 0; block < gridDim.x; ++block) sum += list[block];  // f
  *total = sum;                                                             // g
  *count = 0;                                                               // h
}

constexpr Fault fault = Fault::unordered_sum;
constexpr Line line{'c'};
constexpr int different_totals =
    2;  // 1 where 1e8 and -1e8 cancel first, otherwise 0: 1e8 + 1 is rounded to 1e8

// The same kernel, fixed.
__global__ void fixed(const float* x, int64_t n, float* list, int* count, unsigned* ticket, float* total) {
  float value = 0;
  for (int64_t i : fovea::grid_stride(n)) value += x[i];
  value = fovea::block_sum(value);
  if (threadIdx.x == 0) list[blockIdx.x] = value;  // a place of its own, whoever comes first
  if (!fovea::is_last_block(ticket, gridDim.x)) return;
  if (threadIdx.x != 0) return;
  float sum = 0;
  for (unsigned block = 0; block < gridDim.x; ++block) sum += list[block];
  *total = sum;
  *count = 0;
}

}  // namespace
