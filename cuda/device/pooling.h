#pragma once
#include <cmath>
#include <cstdint>

#include "cuda/device/pixel.h"
#include "cuda/device/unroll.h"
#include "cuda/device/vector.h"
#include "cuda/kernels/pool2d.h"

namespace fovea {

// A pixel and a channel of images (n, height, width, channels).
struct ImagePlace {
  int64_t n;
  int y, x, c;
};
// The packs of such images, for kernels with a thread for each.
struct ImageGrid {
  int64_t packs = 0;
  int height = 0, width = 0, of_pixel = 1, pack = 1;  // packs of a pixel, channels of a pack
  Divisor by_packs = {}, by_width = {}, by_height = {};

  ImageGrid() = default;
  ImageGrid(int64_t images, int height_, int width_, int channels, int pack_)
      : packs(images * height_ * width_ * (channels / pack_)),
        height(height_),
        width(width_),
        of_pixel(channels / pack_),
        pack(pack_) {
    if (packs == 0) return;
    by_packs = Divisor(of_pixel);
    by_width = Divisor(width);
    by_height = Divisor(height);
  }
  // The pixel and the first channel of the i-th pack.
  __device__ ImagePlace place(int64_t i) const {
    if (i >> 31) {  // more than a Divisor divides
      EXPECT_SKIPPED(0);
      const int64_t pixel = i / of_pixel, row = pixel / width, n = row / height;
      return {n, int(row - n * height), int(pixel - row * width), int(i - pixel * of_pixel) * pack};
    }
    const unsigned index = unsigned(i), pixel = by_packs.quotient(index), row = by_width.quotient(pixel),
                   n = by_height.quotient(row);
    return {int64_t(n), int(row - n * height), int(pixel - row * width),
            int(index - pixel * of_pixel) * pack};
  }
};
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
