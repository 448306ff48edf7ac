// Kernels with one fault each that kernel_code_test.cpp must find: a test that has never failed proves
// little. None is ever launched.
#include "cuda/device/grid.h"
#include "cuda/device/vector.h"

namespace fovea::cuda {
namespace {

// An index that is not a constant puts the array into local memory.
__global__ void planted_stack(const int* x, int* y, int n) {
  int counts[16] = {};
  for (int i = 0; i < n; ++i) ++counts[x[i] & 15];
  for (int k = 0; k < 16; ++k) y[k] = counts[k];
}

// Enough sums of four that no product depends on the next.
template <int Sums>
__device__ inline void chains(const float4* x, float4* y, int64_t n) {
  float4 sums[Sums] = {};
  for (int64_t i : grid_stride(n)) {
    UNROLL for (int k = 0; k < Sums; ++k) {
      sums[k].x += x[i].x * float(k);
      sums[k].y += x[i].y * sums[k].x;
      sums[k].z += x[i].z * sums[k].y;
      sums[k].w += x[i].w * sums[k].z;
    }
  }
  UNROLL for (int k = 0; k < Sums; ++k) { y[k * 1024 + int(threadIdx.x)] = sums[k]; }
}

// Uses as many registers as 1024 threads leave for each.
__global__ void __launch_bounds__(1024) planted_spill(const float4* x, float4* y, int64_t n) {
  chains<20>(x, y, n);
}

// Uses so many registers that a multiprocessor has too few threads.
__global__ void __launch_bounds__(256, 1) planted_registers(const float4* x, float4* y, int64_t n) {
  chains<52>(x, y, n);
}

// store_pack() as it was before it stored words.
template <class T>
__global__ void planted_packed(const T* x, T* y, int64_t packs) {
  constexpr int size = pack_size<T>;
  for (int64_t i : grid_stride(packs)) {
    const Pack<T, size> from = load_pack<size>(x + i * size);
    Pack<T, size> to;
    for (int k = 0; k < size; ++k) to.value[k] = T(Accumulator<T>(2) * Accumulator<T>(from.value[k]));
    for (int k = 0; k < size; ++k) y[i * size + k] = to.value[k];
  }
}

__global__ void planted_wide_sum(const float* x, float* y, int64_t n) {
  double sum = 0;
  for (int64_t i : grid_stride(n)) sum += double(x[i]);
  y[threadIdx.x] = float(sum);
}

}  // namespace

// Makes nvcc compile them.
extern const void* const planted[];
const void* const planted[] = {reinterpret_cast<const void*>(planted_stack),
                               reinterpret_cast<const void*>(planted_spill),
                               reinterpret_cast<const void*>(planted_registers),
                               reinterpret_cast<const void*>(planted_packed<float>),
                               reinterpret_cast<const void*>(planted_packed<bfloat16>),
                               reinterpret_cast<const void*>(planted_wide_sum)};

}  // namespace fovea::cuda
