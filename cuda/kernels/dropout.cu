// Dropout of elements and of samples. Bytes moved: dropout 2 n sizeof(T), stochastic depth the same plus n
// sizeof(T) for the shortcut; the mask is computed, not read. Philox costs about 100 instructions for four
// words.
#include "cuda/kernels/dropout.h"

#include <algorithm>

#include "cuda/device/grid.h"
#include "cuda/device/vector.h"
#include "cuda/runtime/launch.h"

namespace fovea::cuda {
namespace {

// One element per thread: the definition, and the elements left over after the packs.
template <class T>
__global__ void dropout_naive(const T* x, T* y, int64_t begin, int64_t n, float p, RandomKey key) {
  for (int64_t i : grid_stride(n - begin)) {
    const int64_t at = begin + i;
    y[at] = T(Accumulator<T>(x[at]) * survival<Accumulator<T>>(key.word(at), p));
  }
}

// The four elements of a Philox block are one pack, and two of them make 16 bytes of bfloat16.
template <class T>
inline constexpr int dropout_pack_size = pack_size<T> < 4 ? 4 : pack_size<T>;

template <class T>
__global__ void dropout_packed(const T* x, T* y, int64_t packs, float p, RandomKey key) {
  constexpr int size = dropout_pack_size<T>;
  for (int64_t i : grid_stride(packs)) {
    Pack<T, size> pack = load_pack<size>(x + i * size);
    for (int part = 0; part < size / 4; ++part) {
      const PhiloxBlock block = key.words(i * (size / 4) + part);
      for (int k = 0; k < 4; ++k) {
        T& value = pack.value[part * 4 + k];
        value = T(Accumulator<T>(value) * survival<Accumulator<T>>(block.word[k], p));
      }
    }
    store_pack(y + i * size, pack);
  }
}

template <class T>
__device__ Accumulator<T> survival_of_sample(RandomKey key, int64_t sample, float p) {
  return survival<Accumulator<T>>(key.word(sample), p);
}

template <class T>
__global__ void stochastic_depth_naive(const T* branch, const T* shortcut, T* y, int64_t samples,
                                       int64_t size, float p, RandomKey key) {
  for (int64_t i : grid_stride(samples * size)) {
    const Accumulator<T> value = Accumulator<T>(branch[i]) * survival_of_sample<T>(key, i / size, p);
    y[i] = T(shortcut ? Accumulator<T>(shortcut[i]) + value : value);
  }
}

// Blocks along x share a sample, whose factor each thread computes once: `packs` is the length of a sample.
template <class T>
__global__ void stochastic_depth_packed(const T* branch, const T* shortcut, T* y, int64_t samples,
                                        int64_t packs, float p, RandomKey key) {
  constexpr int size = pack_size<T>;
  for (int64_t sample = blockIdx.y; sample < samples; sample += gridDim.y) {
    const Accumulator<T> factor = survival_of_sample<T>(key, sample, p);
    for (int64_t i : grid_stride(packs)) {
      const int64_t at = (sample * packs + i) * size;
      Pack<T, size> pack = load_pack<size>(branch + at);
      if (shortcut) {
        const Pack<T, size> term = load_pack<size>(shortcut + at);
        for (int k = 0; k < size; ++k)
          pack.value[k] = T(Accumulator<T>(term.value[k]) + Accumulator<T>(pack.value[k]) * factor);
      } else {
        for (int k = 0; k < size; ++k) pack.value[k] = T(Accumulator<T>(pack.value[k]) * factor);
      }
      store_pack(y + at, pack);
    }
  }
}

}  // namespace

template <class T>
void dropout(const T* x, T* y, int64_t n, float p, RandomKey key) {
  const int64_t packs = n / dropout_pack_size<T>, packed = packs * dropout_pack_size<T>;
  launch(dropout_packed<T>, {grid_for(packs), block_threads}, x, y, packs, p, key);
  launch(dropout_naive<T>, {grid_for(n - packed), block_threads}, x, y, packed, n, p, key);
}

template <class T>
void stochastic_depth(const T* branch, const T* shortcut, T* y, int64_t samples, int64_t size, float p,
                      RandomKey key) {
  if (!packs_fit<T>(size)) {
    launch(stochastic_depth_naive<T>, {grid_for(samples * size), block_threads}, branch, shortcut, y, samples,
           size, p, key);
    return;
  }
  const int64_t packs = size / pack_size<T>;
  const dim3 grid(grid_for(packs).x, unsigned(std::min<int64_t>(samples, 65535)));
  launch(stochastic_depth_packed<T>, {grid, block_threads}, branch, shortcut, y, samples, packs, p, key);
}

#define INSTANTIATE(T)                                               \
  template void dropout<T>(const T*, T*, int64_t, float, RandomKey); \
  template void stochastic_depth<T>(const T*, const T*, T*, int64_t, int64_t, float, RandomKey);
INSTANTIATE(float)
INSTANTIATE(double)
INSTANTIATE(bfloat16)

}  // namespace fovea::cuda
