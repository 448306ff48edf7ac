#pragma once
#include <algorithm>
#include <cstdint>
#include <limits>
#include <vector>

#include "cuda/kernels/pool2d.h"

namespace fovea {

// Max pooling of one image (in height, in width, channels) on the CPU: for max_pool2d and BiFPN nodes.

// The larger of two numbers; a NaN, once met, stays.
template <class T>
T larger(T best, T value) {
  return ((value > best) | (value != value)) ? value : best;
}

// Calls f(first channel, largest numbers, count) for the channels of the window of output (y, x), a block of
// them at a time.
template <class T, class F>
void for_largest(const T* image, const PoolAxis& v, const PoolAxis& h, int64_t channels, int y, int x,
                 F&& f) {
  constexpr int64_t block = 64;
  for (int64_t c0 = 0; c0 < channels; c0 += block) {
    const int64_t count = std::min(block, channels - c0);
    T best[block];
    std::fill_n(best, block, -std::numeric_limits<T>::infinity());
    for (int row = v.begin(y); row < v.end(y); ++row)
      for (int column = h.begin(x); column < h.end(x); ++column) {
        const T* pixel = image + (int64_t(row) * h.in + column) * channels + c0;
        for (int64_t c = 0; c < count; ++c) best[c] = larger(best[c], pixel[c]);
      }
    f(c0, best, count);
  }
}

// dx += weight g of each window (g is out height x out width x channels), at its first maximum. Windows may
// overlap, so one thread handles a whole image.
template <class T>
void max_pool_backward_image(const T* image, const T* g, const PoolAxis& v, const PoolAxis& h,
                             int64_t channels, T weight, T* dx) {
  std::vector<T> left_over(static_cast<size_t>(channels));
  for (int y = 0; y < v.out; ++y)
    for (int x = 0; x < h.out; ++x) {
      const T* gradient = g + (int64_t(y) * h.out + x) * channels;
      for (int64_t c = 0; c < channels; ++c) left_over[size_t(c)] = weight * gradient[c];
      for_largest(image, v, h, channels, y, x, [&](int64_t c0, const T* best, int64_t count) {
        T* rest = left_over.data() + c0;
        for (int row = v.begin(y); row < v.end(y); ++row)
          for (int column = h.begin(x); column < h.end(x); ++column) {
            const int64_t at = (int64_t(row) * h.in + column) * channels + c0;
#pragma omp simd
            for (int64_t c = 0; c < count; ++c) {
              const bool hit = image[at + c] == best[c];
              dx[at + c] += hit ? rest[c] : T(0);
              rest[c] = hit ? T(0) : rest[c];
            }
          }
      });
    }
}

}  // namespace fovea
