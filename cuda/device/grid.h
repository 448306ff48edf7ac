#pragma once
#include <cstdint>

#include "cuda/platform.h"

namespace fovea {

inline constexpr int block_threads = 256;  // of kernels without special needs

// The blocks in which n elements have a thread each, up to what keeps a GPU busy: a stride reaches the rest.
inline dim3 grid_for(int64_t n, int threads = block_threads) {
  constexpr int64_t most = 1 << 16;
  const int64_t blocks = (n + threads - 1) / threads;
  return dim3(unsigned(blocks < most ? blocks : most));
}

// The elements of 0 .. n-1 that this thread handles: for (int64_t i : grid_stride(n)).
class grid_stride {
 public:
  __device__ explicit grid_stride(int64_t n) : n_(n) {}
  // For the range-based loop.
  struct Iterator {
    int64_t at, step;
    __device__ int64_t operator*() const { return at; }
    __device__ void operator++() { at += step; }
    __device__ bool operator!=(int64_t end) const { return at < end; }
  };
  __device__ Iterator begin() const {
    return {int64_t(blockIdx.x) * blockDim.x + threadIdx.x, int64_t(gridDim.x) * blockDim.x};
  }
  __device__ int64_t end() const { return n_; }

 private:
  int64_t n_;
};

}  // namespace fovea
