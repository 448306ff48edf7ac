#pragma once
#include <cmath>
#include <cstdint>

#include "cuda/device/unroll.h"
#include "cuda/device/vector.h"
#include "cuda/kernels/pool2d.h"

namespace fovea {

// A pixel and a channel of images (n, height, width, channels).
struct ImagePlace {
  int64_t n;
  int y, x, c;
};
// The pixel and the first channel of the i-th pack of images of that size.
__device__ inline ImagePlace place_of(int64_t i, int height, int width, int packs, int pack) {
  if (i >> 32) {  // a division of 64 bits costs four times as much
    EXPECT_SKIPPED(0);
    const int64_t pixel = i / packs, row = pixel / width, n = row / height;
    return {n, int(row - n * height), int(pixel - row * width), int(i - pixel * packs) * pack};
  }
  const unsigned index = unsigned(i), pixel = index / unsigned(packs), row = pixel / unsigned(width),
                 n = row / unsigned(height);
  return {n, int(row - n * height), int(pixel - row * width), int(index - pixel * packs) * pack};
}
__device__ inline int64_t offset(int64_t n, int y, int x, int height, int width, int channels) {
  return ((n * height + y) * width + x) * channels;
}

// The maximum over the window of output `out`, for N channels of the images x, and the number of its first
// occurrence in the window, row by row. Once a NaN occurs it stays; its number is -1.
template <int N, class T, class R>
__device__ void largest_in_window(const T* x, const PoolAxis& v, const PoolAxis& h, int channels,
                                  const ImagePlace& out, R* best, int* first) {
  const int top = v.begin(out.y), left = h.begin(out.x);
  for (int k = 0; k < N; ++k) {
    best[k] = R(-INFINITY);
    first[k] = (top - v.start(out.y)) * h.kernel + left - h.start(out.x);
  }
  // Pixels of a row that are loaded together; beyond the row's end its last pixel is seen again, which
  // changes nothing.
  constexpr int together = 3;
  const int last = h.end(out.x) - 1;
  NO_UNROLL for (int row = top; row < v.end(out.y); ++row) {
    EXPECT_TRIPS(3);
    const T* const pixels = x + offset(out.n, row, 0, v.in, h.in, channels) + out.c;
    const int number = (row - v.start(out.y)) * h.kernel - h.start(out.x);
    NO_UNROLL for (int begin = left; begin <= last; begin += together) {
      EXPECT_TRIPS(1);
      Pack<T, N> pixel[together];
      UNROLL for (int j = 0; j < together; ++j) {
        const int column = begin + j < last ? begin + j : last;
        pixel[j] = load_pack<N>(pixels + int64_t(column) * channels);
      }
      UNROLL for (int j = 0; j < together; ++j) {
        const int column = begin + j < last ? begin + j : last;
        UNROLL for (int k = 0; k < N; ++k) {
          const R value = R(pixel[j].value[k]);
          const bool larger = (value > best[k]) | (value != value);
          best[k] = larger ? value : best[k];
          first[k] = larger ? number + column : first[k];
        }
      }
    }
  }
  for (int k = 0; k < N; ++k)
    if (best[k] != best[k]) first[k] = -1;
}

}  // namespace fovea
