// The memory-bound halves of squeeze-and-excitation (arXiv 1709.01507). Bytes moved, of n = batch * pixels *
// channels elements: pooling reads n, its gradient writes n, scaling 2 n, its gradient 3 n, each times
// sizeof(T); the sums of stage 1 are at most 1024 per channel.
#include "cuda/kernels/squeeze_excite.h"

#include "cuda/device/columns.h"
#include "cuda/device/grid.h"
#include "cuda/kernels/reduction.h"
#include "cuda/runtime/launch.h"
#include "cuda/runtime/memory.h"

namespace fovea::cuda {
namespace {

// One thread one element: the definition, and the kernel for channels that make no packs.
template <class T>
__global__ void scale_naive(const T* x, const T* s, T* y, ImageDims d) {
  for (int64_t i : grid_stride(d.batch * d.pixels * d.channels))
    y[i] = T(Accumulator<T>(x[i]) *
             Accumulator<T>(s[i / (d.pixels * d.channels) * d.channels + i % d.channels]));
}

// A thread keeps the scales of its 16 bytes of channels and walks down the pixels.
template <class T>
__global__ void scale_packed(const T* x, const T* s, T* y, ColumnGrid grid) {
  constexpr int size = pack_size<T>;
  const ColumnPlace<size> at(grid);
  if (!at.inside) return;
  const Pack<T, size> scale = load_pack<size>(s + at.matrix * grid.columns + at.column);
  for (int64_t row = at.begin; row < at.end; row += blockDim.y) {
    Pack<T, size> pack = load_pack<size>(x + at.offset(row));
    for (int k = 0; k < size; ++k)
      pack.value[k] = T(Accumulator<T>(pack.value[k]) * Accumulator<T>(scale.value[k]));
    store_pack(y + at.offset(row), pack);
  }
}

// One thread one channel of an image.
template <class T>
__global__ void scale_backward_naive(const T* x, const T* s, const T* dy, T* dx, T* ds, ImageDims d) {
  for (int64_t i : grid_stride(d.batch * d.channels)) {
    const int64_t first = i / d.channels * d.pixels * d.channels + i % d.channels;
    double sum = 0;
    for (int64_t pixel = 0; pixel < d.pixels; ++pixel) {
      const int64_t j = first + pixel * d.channels;
      sum += double(Accumulator<T>(dy[j])) * double(Accumulator<T>(x[j]));
      dx[j] = T(Accumulator<T>(dy[j]) * Accumulator<T>(s[i]));
    }
    ds[i] = T(Accumulator<T>(sum));
  }
}

// dx, and the sums of a chunk of pixels into partial (batch, chunks, channels), which cuda::add_partials adds
// up.
template <class T, int N>
__global__ void scale_backward_chunks(const T* x, const T* s, const T* dy, T* dx, Accumulator<T>* partial,
                                      ColumnGrid grid) {
  const ColumnPlace<N> at(grid);
  Pack<T, N> scale = {};
  if (at.inside) scale = load_pack<N>(s + at.matrix * grid.columns + at.column);
  Accumulator<T> sum[N] = {};
  for (int64_t row = at.begin; row < at.end; row += blockDim.y) {
    const Pack<T, N> value = load_pack<N>(x + at.offset(row));
    Pack<T, N> gradient = load_pack<N>(dy + at.offset(row));
    for (int k = 0; k < N; ++k) {
      const Accumulator<T> g = Accumulator<T>(gradient.value[k]);
      sum[k] += g * Accumulator<T>(value.value[k]);
      gradient.value[k] = T(g * Accumulator<T>(scale.value[k]));
    }
    store_pack(dx + at.offset(row), gradient);
  }
  block_column_sum(sum);
  if (at.first_line()) store_rounded<N>(partial + at.partial(grid), sum);
}

ReductionDims over_pixels(const ImageDims& d) { return {d.batch, d.pixels, d.channels}; }

}  // namespace

template <class T>
void global_average_pool(const T* x, T* y, const ImageDims& d) {
  reduce(x, y, 1.0 / double(d.pixels), over_pixels(d));
}

template <class T>
void global_average_pool_backward(const T* dy, T* dx, const ImageDims& d) {
  repeat(dy, dx, 1.0 / double(d.pixels), over_pixels(d));
}

template <class T>
void scale_channels(const T* x, const T* s, T* y, const ImageDims& d) {
  if (packs_fit<T>(d.channels)) {
    const ColumnGrid grid = column_grid(d.batch, d.pixels, d.channels, pack_size<T>, plan_for_elements);
    launch(scale_packed<T>, {grid}, x, s, y, grid);
  } else {
    launch(scale_naive<T>, {grid_for(d.batch * d.pixels * d.channels), block_threads}, x, s, y, d);
  }
}

template <class T>
void scale_channels_backward(const T* x, const T* s, const T* dy, T* dx, T* ds, const ImageDims& d) {
  if (d.batch * d.channels == 0) return;
  if (d.pixels <= few_rows) {
    launch(scale_backward_naive<T>, {grid_for(d.batch * d.channels), block_threads}, x, s, dy, dx, ds, d);
    return;
  }
  with_column_pack<T>(d.channels, [&]<int N>() {
    const ColumnGrid grid = column_grid(d.batch, d.pixels, d.channels, N, plan_for_sums);
    const Workspace<Accumulator<T>> partial(grid.partials());
    launch(scale_backward_chunks<T, N>, {grid, grid.shared_bytes<Accumulator<T>>(N)}, x, s, dy, dx,
           partial.data(), grid);
    add_partials(partial.data(), ds, {d.batch, grid.chunks, d.channels});
  });
}

#define INSTANTIATE(T)                                                           \
  template void global_average_pool<T>(const T*, T*, const ImageDims&);          \
  template void global_average_pool_backward<T>(const T*, T*, const ImageDims&); \
  template void scale_channels<T>(const T*, const T*, T*, const ImageDims&);     \
  template void scale_channels_backward<T>(const T*, const T*, const T*, T*, T*, const ImageDims&);
INSTANTIATE(float)
INSTANTIATE(double)
INSTANTIATE(bfloat16)

}  // namespace fovea::cuda
