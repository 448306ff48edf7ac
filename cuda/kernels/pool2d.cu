// Pooling by a window that moves over an image. A thread has N channels of one pixel: N = 1 is the naive
// kernel, for any number of channels, N = 16 bytes the fast one, for multiples. Windows may overlap, but
// repeated reads of a pixel hit a cache. Bytes moved, with n those of x and m those of y: n + m forward; m +
// n in the backward pass of the mean. That of the maximum has two steps: it finds each window's first maximum
// (reads n, writes 2 bytes per output), then each pixel sums over the windows that hold it (reads m and those
// bytes, writes n). The sums have the order of the windows and need no atomics.
#include "cuda/kernels/pool2d.h"

#include "cuda/device/columns.h"
#include "cuda/device/grid.h"
#include "cuda/device/pooling.h"
#include "cuda/runtime/launch.h"
#include "cuda/runtime/memory.h"

namespace fovea::cuda {
namespace {

// The maxima, unless y is null; and the place of each first maximum in its window, unless `first` is null.
template <int N, class T>
__global__ void max_pool(const T* x, T* y, uint16_t* first, Pool2dDims d, ImageGrid grid) {
  using R = Accumulator<T>;
  for (int64_t i : grid_stride(grid.packs)) {
    const ImagePlace out = grid.place(i);
    R best[N];
    int number[N];
    largest_in_window<N>(x, d.vertical, d.horizontal, d.channels, out, best, number);
    if (y) store_rounded<N>(y + i * N, best);
    if (!first) continue;
    Pack<uint16_t, N> numbers;
    for (int k = 0; k < N; ++k) numbers.value[k] = uint16_t(number[k]);  // -1 becomes 65535
    store_pack(first + i * N, numbers);
  }
}

// A pixel sums over the windows that hold it and whose first maximum it is.
template <int N, class T>
__global__ void max_pool_backward(const T* dy, const uint16_t* first, T* dx, Pool2dDims d, ImageGrid grid) {
  const PoolAxis &v = d.vertical, &h = d.horizontal;
  for (int64_t i : grid_stride(grid.packs)) {
    const ImagePlace at = grid.place(i);
    Accumulator<T> sum[N] = {};
    for (int y = v.first_window(at.y); y < v.end_window(at.y); ++y)
      for (int x = h.first_window(at.x); x < h.end_window(at.x); ++x) {
        const int64_t window = offset(at.n, y, x, v.out, h.out, d.channels) + at.c;
        const Pack<uint16_t, N> numbers = load_pack<N>(first + window);
        const Pack<T, N> gradient = load_pack<N>(dy + window);
        const int number = (at.y - v.start(y)) * h.kernel + at.x - h.start(x);
        for (int k = 0; k < N; ++k)
          sum[k] += numbers.value[k] == number ? Accumulator<T>(gradient.value[k]) : Accumulator<T>(0);
      }
    store_rounded<N>(dx + i * N, sum);
  }
}

// The number of pixels in the window of output (y, x).
template <class R>
__device__ R window_size(const Pool2dDims& d, int y, int x) {
  const PoolAxis &v = d.vertical, &h = d.horizontal;
  return R((v.end(y) - v.begin(y)) * (h.end(x) - h.begin(x)));
}

template <int N, class T>
__global__ void average_pool(const T* x, T* y, Pool2dDims d, ImageGrid grid) {
  using R = Accumulator<T>;
  const PoolAxis &v = d.vertical, &h = d.horizontal;
  for (int64_t i : grid_stride(grid.packs)) {
    const ImagePlace out = grid.place(i);
    R sum[N] = {};
    for (int row = v.begin(out.y); row < v.end(out.y); ++row)
      for (int column = h.begin(out.x); column < h.end(out.x); ++column) {
        const Pack<T, N> pixel = load_pack<N>(x + offset(out.n, row, column, v.in, h.in, d.channels) + out.c);
        for (int k = 0; k < N; ++k) sum[k] += R(pixel.value[k]);
      }
    const R count = window_size<R>(d, out.y, out.x);
    for (int k = 0; k < N; ++k) sum[k] /= count;
    store_rounded<N>(y + i * N, sum);
  }
}

template <int N, class T>
__global__ void average_pool_backward(const T* dy, T* dx, Pool2dDims d, ImageGrid grid) {
  using R = Accumulator<T>;
  const PoolAxis &v = d.vertical, &h = d.horizontal;
  for (int64_t i : grid_stride(grid.packs)) {
    const ImagePlace at = grid.place(i);
    R sum[N] = {};
    for (int y = v.first_window(at.y); y < v.end_window(at.y); ++y)
      for (int x = h.first_window(at.x); x < h.end_window(at.x); ++x) {
        const Pack<T, N> gradient = load_pack<N>(dy + offset(at.n, y, x, v.out, h.out, d.channels) + at.c);
        const R count = window_size<R>(d, y, x);
        for (int k = 0; k < N; ++k) sum[k] += R(gradient.value[k]) / count;
      }
    store_rounded<N>(dx + i * N, sum);
  }
}

ImageGrid outputs(const Pool2dDims& d, int pack) {
  return {d.batch, d.vertical.out, d.horizontal.out, int(d.channels), pack};
}
ImageGrid inputs(const Pool2dDims& d, int pack) {
  return {d.batch, d.vertical.in, d.horizontal.in, int(d.channels), pack};
}

}  // namespace

template <class T>
void max_pool2d(const T* x, T* y, const Pool2dDims& d) {
  with_column_pack<T>(d.channels, [&]<int N>() {
    const ImageGrid grid = outputs(d, N);
    launch(max_pool<N, T>, {grid_for(grid.packs), block_threads}, x, y, nullptr, d, grid);
  });
}

template <class T>
void max_pool2d_backward(const T* x, const T* dy, T* dx, const Pool2dDims& d) {
  const Workspace<uint16_t> first(d.outputs());
  with_column_pack<T>(d.channels, [&]<int N>() {
    const ImageGrid out = outputs(d, N), in = inputs(d, N);
    launch(max_pool<N, T>, {grid_for(out.packs), block_threads}, x, nullptr, first.data(), d, out);
    launch(max_pool_backward<N, T>, {grid_for(in.packs), block_threads}, dy, first.data(), dx, d, in);
  });
}

template <class T>
void average_pool2d(const T* x, T* y, const Pool2dDims& d) {
  with_column_pack<T>(d.channels, [&]<int N>() {
    const ImageGrid grid = outputs(d, N);
    launch(average_pool<N, T>, {grid_for(grid.packs), block_threads}, x, y, d, grid);
  });
}

template <class T>
void average_pool2d_backward(const T* dy, T* dx, const Pool2dDims& d) {
  with_column_pack<T>(d.channels, [&]<int N>() {
    const ImageGrid grid = inputs(d, N);
    launch(average_pool_backward<N, T>, {grid_for(grid.packs), block_threads}, dy, dx, d, grid);
  });
}

#define INSTANTIATE(T)                                                             \
  template void max_pool2d<T>(const T*, T*, const Pool2dDims&);                    \
  template void max_pool2d_backward<T>(const T*, const T*, T*, const Pool2dDims&); \
  template void average_pool2d<T>(const T*, T*, const Pool2dDims&);                \
  template void average_pool2d_backward<T>(const T*, T*, const Pool2dDims&);
INSTANTIATE(float)
INSTANTIATE(double)
INSTANTIATE(bfloat16)

}  // namespace fovea::cuda
