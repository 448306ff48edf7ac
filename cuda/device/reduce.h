#pragma once
#include "cuda/device/unroll.h"
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

// The sums over a block of up to 1024 threads (a multiple of 32, along x), in thread 0. All threads must call
// it.
template <int Count, class T>
__device__ inline void block_sums(T (&values)[Count]) {
  __shared__ T of_warps[Count][32];
  UNROLL for (int k = 0; k < Count; ++k) {
    values[k] = warp_sum(values[k]);
    if (threadIdx.x % 32 == 0) of_warps[k][threadIdx.x / 32] = values[k];
  }
  __syncthreads();
  const int warps = int(blockDim.x) / 32;
  UNROLL for (int k = 0; k < Count; ++k) {
    values[k] = T(0);
    if (threadIdx.x < 32) {
      if (int(threadIdx.x) < warps) values[k] = of_warps[k][threadIdx.x];
      values[k] = warp_sum(values[k]);
    }
  }
  __syncthreads();  // the next call may overwrite of_warps
}
template <class T>
__device__ inline T block_sum(T value) {
  T values[] = {value};
  block_sums(values);
  return values[0];
}

}  // namespace fovea
