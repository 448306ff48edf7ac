// Elementwise activations and the functions of unary.h. Bytes moved: forward 2 n sizeof(T), backward 3 n
// sizeof(T); nothing else takes time.
#include "cuda/device/grid.h"
#include "cuda/device/vector.h"
#include "cuda/kernels/activation.h"
#include "cuda/kernels/unary.h"
#include "cuda/runtime/launch.h"

namespace fovea::cuda {
namespace {

// One element per thread: the definition, and the elements left over after the packs.
template <class F, class T>
__global__ void activation_naive(const T* x, T* y, int64_t n) {
  for (int64_t i : grid_stride(n)) y[i] = T(F::forward(Accumulator<T>(x[i])));
}

// 16 bytes per thread.
template <class F, class T>
__global__ void activation_packed(const T* x, T* y, int64_t packs) {
  constexpr int size = pack_size<T>;
  for (int64_t i : grid_stride(packs)) {
    Pack<T, size> pack = load_pack<size>(x + i * size);
    for (int k = 0; k < size; ++k) pack.value[k] = T(F::forward(Accumulator<T>(pack.value[k])));
    store_pack(y + i * size, pack);
  }
}

template <class F, class T>
__global__ void activation_backward_naive(const T* x, const T* dy, T* dx, int64_t n) {
  for (int64_t i : grid_stride(n)) dx[i] = T(Accumulator<T>(dy[i]) * F::derivative(Accumulator<T>(x[i])));
}

template <class F, class T>
__global__ void activation_backward_packed(const T* x, const T* dy, T* dx, int64_t packs) {
  constexpr int size = pack_size<T>;
  for (int64_t i : grid_stride(packs)) {
    const Pack<T, size> value = load_pack<size>(x + i * size);
    Pack<T, size> gradient = load_pack<size>(dy + i * size);
    for (int k = 0; k < size; ++k)
      gradient.value[k] =
          T(Accumulator<T>(gradient.value[k]) * F::derivative(Accumulator<T>(value.value[k])));
    store_pack(dx + i * size, gradient);
  }
}

}  // namespace

template <class F, class T>
void activation(const T* x, T* y, int64_t n) {
  const int64_t packs = n / pack_size<T>, packed = packs * pack_size<T>;
  launch(activation_packed<F, T>, {grid_for(packs), block_threads}, x, y, packs);
  launch(activation_naive<F, T>, {grid_for(n - packed), block_threads}, x + packed, y + packed, n - packed);
}

template <class F, class T>
void activation_backward(const T* x, const T* dy, T* dx, int64_t n) {
  const int64_t packs = n / pack_size<T>, packed = packs * pack_size<T>;
  launch(activation_backward_packed<F, T>, {grid_for(packs), block_threads}, x, dy, dx, packs);
  launch(activation_backward_naive<F, T>, {grid_for(n - packed), block_threads}, x + packed, dy + packed,
         dx + packed, n - packed);
}

#define INSTANTIATE(F, T)                                \
  template void activation<F, T>(const T*, T*, int64_t); \
  template void activation_backward<F, T>(const T*, const T*, T*, int64_t);
#define FOR_EACH_DTYPE(name, F) INSTANTIATE(F, float) INSTANTIATE(F, double) INSTANTIATE(F, bfloat16)
FOVEA_NONLINEARITIES(FOR_EACH_DTYPE)
FOVEA_UNARY(FOR_EACH_DTYPE)

}  // namespace fovea::cuda
