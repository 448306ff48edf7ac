// Random numbers. Bytes moved: n sizeof(T). About 200 instructions per element, with three times more Philox
// calls than necessary: it fills tensors for measurements, and is not measured itself.
#include "cuda/kernels/random.h"

#include "cuda/device/bfloat16.h"
#include "cuda/device/grid.h"
#include "cuda/device/normal.h"
#include "cuda/runtime/launch.h"

namespace fovea::cuda {
namespace {

template <class T>
__global__ void normal_naive(T* x, int64_t n, RandomKey key) {
  for (int64_t i : grid_stride(n)) x[i] = T(normal_from_words(key.words(i / 4), int(i % 4)));
}

template <class T>
__global__ void uniform_naive(T* x, int64_t n, RandomKey key, float low, float high) {
  for (int64_t i : grid_stride(n)) x[i] = T(uniform_between(key.word(i), low, high));
}

}  // namespace

template <class T>
void fill_normal(T* x, int64_t n, RandomKey key) {
  launch(normal_naive<T>, {grid_for(n), block_threads}, x, n, key);
}

template <class T>
void fill_uniform(T* x, int64_t n, RandomKey key, float low, float high) {
  launch(uniform_naive<T>, {grid_for(n), block_threads}, x, n, key, low, high);
}

#define INSTANTIATE(T)                                  \
  template void fill_normal<T>(T*, int64_t, RandomKey); \
  template void fill_uniform<T>(T*, int64_t, RandomKey, float, float);
INSTANTIATE(float)
INSTANTIATE(double)
INSTANTIATE(bfloat16)

}  // namespace fovea::cuda
