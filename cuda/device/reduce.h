#pragma once
#include "cuda/platform.h"

namespace fovea {

inline constexpr unsigned all_lanes = 0xffffffffu;

// The sum over a warp, in lane 0: a tree of fixed shape, which gives the same bits each time. All 32 lanes
// must call it.
template <class T>
__device__ inline T warp_sum(T value) {
  for (int step = 16; step > 0; step /= 2) value += __shfl_down_sync(all_lanes, value, step);
  return value;
}

// The sum over a block of up to 1024 threads (a multiple of 32, along x), in thread 0. All threads must call
// it.
template <class T>
__device__ inline T block_sum(T value) {
  __shared__ T of_warps[32];
  value = warp_sum(value);
  if (threadIdx.x % 32 == 0) of_warps[threadIdx.x / 32] = value;
  __syncthreads();
  const int warps = int(blockDim.x) / 32;
  value = T(0);
  if (threadIdx.x < 32) {
    if (int(threadIdx.x) < warps) value = of_warps[threadIdx.x];
    value = warp_sum(value);
  }
  __syncthreads();  // the next call may overwrite of_warps
  return value;
}

}  // namespace fovea
