// Filling and adding. Bytes moved: fill n sizeof(T), accumulate 3 n sizeof(T).
#include "cuda/kernels/elementwise.h"

#include "cuda/device/grid.h"
#include "cuda/device/vector.h"
#include "cuda/runtime/launch.h"

namespace fovea::cuda {
namespace {

template <class T>
__global__ void fill_naive(T* x, T value, int64_t n) {
  for (int64_t i : grid_stride(n)) x[i] = value;
}

template <class T>
__global__ void accumulate_naive(T* sum, const T* term, int64_t n) {
  for (int64_t i : grid_stride(n)) sum[i] = T(Accumulator<T>(sum[i]) + Accumulator<T>(term[i]));
}

template <class T>
__global__ void accumulate_packed(T* sum, const T* term, int64_t packs) {
  constexpr int size = pack_size<T>;
  for (int64_t i : grid_stride(packs)) {
    Pack<T, size> a = load_pack<size>(sum + i * size);
    const Pack<T, size> b = load_pack<size>(term + i * size);
    for (int k = 0; k < size; ++k) a.value[k] = T(Accumulator<T>(a.value[k]) + Accumulator<T>(b.value[k]));
    store_pack(sum + i * size, a);
  }
}

}  // namespace

template <class T>
void fill(T* x, T value, int64_t n) {
  launch(fill_naive<T>, {grid_for(n), block_threads}, x, value, n);
}

template <class T>
void accumulate(T* sum, const T* term, int64_t n) {
  const int64_t packs = n / pack_size<T>, packed = packs * pack_size<T>;
  const int64_t bytes = 3 * packed * int64_t(sizeof(T));  // the sum is read and written
  launch(accumulate_packed<T>, LaunchConfig(grid_for(packs), block_threads).moves(bytes), sum, term, packs);
  launch(accumulate_naive<T>, {grid_for(n - packed), block_threads}, sum + packed, term + packed, n - packed);
}

#define INSTANTIATE(T)                   \
  template void fill<T>(T*, T, int64_t); \
  template void accumulate<T>(T*, const T*, int64_t);
INSTANTIATE(float)
INSTANTIATE(double)
INSTANTIATE(bfloat16)
INSTANTIATE(int32_t)
INSTANTIATE(int64_t)
INSTANTIATE(uint8_t)

}  // namespace fovea::cuda
