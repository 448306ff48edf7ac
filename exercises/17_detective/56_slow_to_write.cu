// Exercise 56: the case of the slow stores
//
// Goal:      Find why a kernel writes more slowly than it reads, and fix it.
// Builds on: 9
// Minutes:   20
// Source:    CUDA C++ Best Practices Guide, "Coalesced Access to Global Memory"; cuda/device/vector.h;
//            cuda/sim/README.md, "Score it"
#pragma once
#include <fovea/cuda/device/vector.h>  // Pack, load_pack, store_pack: read it first
#include <fovea/cuda/platform.h>

#include "detective.h"

namespace {

// y[i] = scale x[i] + shift for i from 0 to n - 1. n is a multiple of 4, and each thread has four
// neighbouring numbers.
//
// The symptom: it is right, and a profiler shows four times as many requests for y as for x. Memory moves in
// sectors of 32 bytes; a request is one instruction of a warp's 32 threads, and takes all sectors that they
// touch.
//
// Do not edit this kernel: the check runs it.
__global__ void broken(const float* x, float scale, float shift, float* y, int n) {
  const int first = 4 * int(blockIdx.x * blockDim.x + threadIdx.x);        // a
  if (first >= n) return;                                                  // b
  const fovea::Pack<float, 4> in = fovea::load_pack<4>(x + first);         // c
  for (int k = 0; k < 4; ++k) y[first + k] = scale * in.value[k] + shift;  // d
}

// ---- your code: 3 lines ----
constexpr Fault fault = Fault::unknown;
constexpr Line line{'?'};                 // the line that takes more requests than it has to
constexpr int sectors_of_a_request = -1;  // that one of them touches
// ---- end ----

// The same kernel: fix it.
__global__ void fixed(const float* x, float scale, float shift, float* y, int n) {
  const int first = 4 * int(blockIdx.x * blockDim.x + threadIdx.x);
  if (first >= n) return;
  const fovea::Pack<float, 4> in = fovea::load_pack<4>(x + first);
  // ---- your code: 3 lines ----
  for (int k = 0; k < 4; ++k) y[first + k] = scale * in.value[k] + shift;
  // ---- end ----
}

}  // namespace
