// Exercise 55: the case of the same seed
//
// Goal:      Find why a kernel's sum has other last digits in each run, and fix it.
// Builds on: 14
// Minutes:   20
// Source:    D. Goldberg, What Every Computer Scientist Should Know About Floating-Point Arithmetic (1991);
//            cuda/device/last_block.h
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
//
// Do not edit this kernel: the check runs it.
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

// ---- your code: 3 lines ----
constexpr Fault fault = Fault::unknown;
constexpr Line line{'?'};             // the line whose effect differs from run to run
constexpr int different_totals = -1;  // that three blocks can give, whose sums are 1e8, 1 and -1e8 (float32)
// ---- end ----

// The same kernel: fix it.
__global__ void fixed(const float* x, int64_t n, float* list, int* count, unsigned* ticket, float* total) {
  float value = 0;
  for (int64_t i : fovea::grid_stride(n)) value += x[i];
  value = fovea::block_sum(value);
  // ---- your code: 1 line ----
  if (threadIdx.x == 0) list[atomicAdd(count, 1)] = value;
  // ---- end ----
  if (!fovea::is_last_block(ticket, gridDim.x)) return;
  if (threadIdx.x != 0) return;
  float sum = 0;
  for (unsigned block = 0; block < gridDim.x; ++block) sum += list[block];
  *total = sum;
  *count = 0;
}

}  // namespace
