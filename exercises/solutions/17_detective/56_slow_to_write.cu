// Exercise 56: the case of the slow stores
#pragma once
#include <fovea/cuda/device/vector.h>  // Pack, load_pack, store_pack
#include <fovea/cuda/platform.h>

#include "detective.h"

namespace {

// y[i] = scale x[i] + shift for i from 0 to n - 1. n is a multiple of 4, and each thread has four
// neighbouring numbers.
//
// The symptom: it is right, and a profiler shows four times as many requests for y as for x. Memory moves in
// sectors of 32 bytes; a request is one instruction of a warp's 32 threads, and takes all sectors that they
// touch.
__global__ void broken(const float* x, float scale, float shift, float* y, int n) {
  const int first = 4 * int(blockIdx.x * blockDim.x + threadIdx.x);        // a
  if (first >= n) return;                                                  // b
  const fovea::Pack<float, 4> in = fovea::load_pack<4>(x + first);         // c
  for (int k = 0; k < 4; ++k) y[first + k] = scale * in.value[k] + shift;  // d
}

constexpr Fault fault = Fault::unpacked_store;
constexpr Line line{'d'};
constexpr int sectors_of_a_request = 16;  // a number every 16 bytes: two in each sector

// The same kernel, fixed.
__global__ void fixed(const float* x, float scale, float shift, float* y, int n) {
  const int first = 4 * int(blockIdx.x * blockDim.x + threadIdx.x);
  if (first >= n) return;
  const fovea::Pack<float, 4> in = fovea::load_pack<4>(x + first);
  fovea::Pack<float, 4> out;
  for (int k = 0; k < 4; ++k) out.value[k] = scale * in.value[k] + shift;
  fovea::store_pack(y + first, out);
}

}  // namespace
