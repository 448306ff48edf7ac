// Exercise 9: a grid-stride loop
//
// Goal:      y = a x + y for any n, by however many threads the launch has.
// Builds on: 1
// Minutes:   15
// Source:    CUDA C++ Programming Guide, "Thread Hierarchy"; M. Harris, CUDA Pro Tip: Write Flexible Kernels
//            with Grid-Stride Loops; cuda/device/grid.h
#pragma once
#include <cstdint>

#include <fovea/cuda/platform.h>

namespace {

// Launched with gridDim.x blocks of blockDim.x threads each: this thread is number threadIdx.x of block
// blockIdx.x. There may be fewer threads than elements, or more. Each element is updated by exactly one
// thread: y[i] = a * x[i] + y[i]. Threads with neighbouring numbers take neighbouring elements. A warp's 32
// reads are then one request for 128 bytes in a row; if each thread walked through a part of its own, the 32
// would lie far apart.
__global__ void axpy(float a, const float* x, float* y, int64_t n) {
  // ---- your code: 3 to 5 lines ----
  const int64_t i = threadIdx.x;
  if (i < n) y[i] = a * x[i] + y[i];
  // ---- end ----
}

}  // namespace
