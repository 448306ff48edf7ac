// Sums and maxima over an axis, with x as outer x count x inner, and their gradients. Bytes moved: the sum
// reads x once, outer * count * inner * sizeof(T), and writes and reads its partial sums, at most 1024 per
// column; the gradient writes as much. The maximum reads x once and writes its places, 8 bytes each; its
// gradient writes as much as x has.
#include "cuda/kernels/reduction.h"

#include "cuda/device/columns.h"
#include "cuda/device/grid.h"
#include "cuda/device/last_block.h"
#include "cuda/device/reduce.h"
#include "cuda/runtime/launch.h"
#include "cuda/runtime/memory.h"
#include "cuda/runtime/stream.h"

namespace fovea::cuda {
namespace {

// One thread per sum: the definition, and the kernel for a short axis.
template <class T, class To>
__global__ void reduce_naive(const T* x, To* y, double factor, ReductionDims d) {
  for (int64_t i : grid_stride(d.outer * d.inner)) {
    const T* first = x + i / d.inner * d.count * d.inner + i % d.inner;
    double sum = 0;
    for (int64_t k = 0; k < d.count; ++k) sum += double(Accumulator<T>(first[k * d.inner]));
    y[i] = To(Accumulator<To>(sum * factor));
  }
}

// The thread's share of its columns' sums over rows begin, begin + lines ... of x, a matrix from `first` on.
template <int N, class T>
__device__ void add_rows(const T* first, int64_t columns, int64_t begin, int64_t end, Accumulator<T>* sum) {
  for (int64_t row = begin; row < end; row += blockDim.y) {
    const Pack<T, N> pack = load_pack<N>(first + row * columns);
    for (int k = 0; k < N; ++k) sum[k] += Accumulator<T>(pack.value[k]);
  }
}

// A block adds a chunk of the axis, 16 bytes per thread and row, into partial (outer, chunks, inner), and the
// last block of its columns adds the chunks. If inner is 1, the lines of a block are neighbours in memory,
// and loads coalesce as well.
template <class T, class To, int N>
__global__ void reduce_chunks(const T* x, Accumulator<T>* partial, To* y, Accumulator<T> factor,
                              unsigned* tickets, ColumnGrid grid) {
  const ColumnPlace<N> at(grid);
  Accumulator<T> sum[N] = {};
  add_rows<N>(x + at.first, at.stride, at.begin, at.end, sum);
  block_column_sum(sum);
  if (grid.chunks > 1) {
    if (at.first_line()) store_rounded<N>(partial + at.partial(grid), sum);
    unsigned* ticket = tickets + at.matrix * grid.tiles + blockIdx.x % unsigned(grid.tiles);
    if (!is_last_block(ticket, unsigned(grid.chunks))) return;
    for (int k = 0; k < N; ++k) sum[k] = 0;
    add_rows<N>(partial + at.matrix * grid.chunks * grid.columns + at.column, grid.columns, threadIdx.y,
                at.inside ? grid.chunks : 0, sum);
    block_column_sum(sum);
  }
  for (int k = 0; k < N; ++k) sum[k] *= factor;
  if (at.first_line()) store_rounded<N>(y + at.matrix * grid.columns + at.column, sum);
}

// For partial sums that other kernels have written: the rows of `grid` are their chunks.
template <class R, class To, int N>
__global__ void add_chunks(const R* partial, To* y, ColumnGrid grid) {
  const ColumnPlace<N> at(grid);
  R sum[N] = {};
  add_rows<N>(partial + at.first, at.stride, at.begin, at.end, sum);
  block_column_sum(sum);
  if (at.first_line()) store_rounded<N>(y + at.partial(grid), sum);
}

template <class T>
__global__ void repeat_naive(const T* dy, T* dx, Accumulator<T> factor, ReductionDims d) {
  for (int64_t i : grid_stride(d.outer * d.count * d.inner))
    dx[i] = T(Accumulator<T>(dy[i / (d.count * d.inner) * d.inner + i % d.inner]) * factor);
}

// A thread reads its pack of dy once and writes it to many rows.
template <class T>
__global__ void repeat_packed(const T* dy, T* dx, Accumulator<T> factor, ColumnGrid grid) {
  constexpr int size = pack_size<T>;
  const ColumnPlace<size> at(grid);
  if (!at.inside) return;
  Pack<T, size> pack = load_pack<size>(dy + at.matrix * grid.columns + at.column);
  for (int k = 0; k < size; ++k) pack.value[k] = T(Accumulator<T>(pack.value[k]) * factor);
  for (int64_t row = at.begin; row < at.end; row += blockDim.y) store_pack(dx + at.offset(row), pack);
}

// One thread per maximum: the definition. Neighbouring threads have neighbouring columns.
template <class T>
__global__ void max_naive(const T* x, T* y, int64_t* index, ReductionDims d) {
  using R = Accumulator<T>;
  for (int64_t i : grid_stride(d.outer * d.inner)) {
    const T* first = x + i / d.inner * d.count * d.inner + i % d.inner;
    Candidate<R> best{R(first[0]), 0};
    for (int64_t k = 1; k < d.count; ++k) {
      const Candidate<R> next{R(first[k * d.inner]), k};
      if (next.beats(best)) best = next;
    }
    index[i] = best.index;
    if (y) y[i] = T(best.value);
  }
}

// One warp per maximum, for contiguous rows (inner is 1).
template <class T>
__global__ void max_rows(const T* x, T* y, int64_t* index, ReductionDims d) {
  using R = Accumulator<T>;
  const int lane = int(threadIdx.x % 32);
  const int64_t warps = int64_t(gridDim.x) * blockDim.x / 32;
  for (int64_t row = (int64_t(blockIdx.x) * blockDim.x + threadIdx.x) / 32; row < d.outer; row += warps) {
    const T* first = x + row * d.count;
    Candidate<R> best{R(first[0]), 0};
    for (int64_t k = lane; k < d.count; k += 32) {
      const Candidate<R> next{R(first[k]), k};
      if (next.beats(best)) best = next;
    }
    for (int step = 16; step > 0; step /= 2) {
      const Candidate<R> other{__shfl_xor_sync(all_lanes, best.value, step),
                               __shfl_xor_sync(all_lanes, best.index, step)};
      if (other.beats(best)) best = other;
    }
    if (lane != 0) continue;
    index[row] = best.index;
    if (y) y[row] = T(best.value);
  }
}

template <class T>
__global__ void max_backward_naive(const T* dy, const int64_t* index, T* dx, ReductionDims d) {
  for (int64_t i : grid_stride(d.outer * d.count * d.inner)) {
    const int64_t at = i / (d.count * d.inner) * d.inner + i % d.inner;
    dx[i] = index[at] == i / d.inner % d.count ? dy[at] : T(Accumulator<T>(0));
  }
}

template <class T, class To>
void reduce_to(const T* x, To* y, double factor, const ReductionDims& d) {
  if (d.outer * d.inner == 0) return;
  if (d.count <= few_rows) {
    launch(reduce_naive<T, To>, {grid_for(d.outer * d.inner), block_threads}, x, y, factor, d);
    return;
  }
  const auto start = [&]<int N>() {
    const ColumnGrid grid = column_grid(d.outer, d.count, d.inner, N, plan_for_sums);
    const Workspace<Accumulator<T>> partial(grid.partials());
    // If there are many matrices, each is one chunk.
    unsigned* tickets = current_stream().tickets(grid.chunks > 1 ? grid.matrices * grid.tiles : 0);
    launch(reduce_chunks<T, To, N>, {grid, grid.shared_bytes<Accumulator<T>>(N)}, x, partial.data(), y,
           Accumulator<T>(factor), tickets, grid);
  };
  // Two numbers of bfloat16 are a word: the 810 class logits of a pixel are no whole packs.
  if (sizeof(T) == 2 && d.inner % 2 == 0 && !packs_fit<T>(d.inner)) return start.template operator()<2>();
  with_column_pack<T>(d.inner, start);
}

}  // namespace

template <class T>
void reduce(const T* x, T* y, double factor, const ReductionDims& dims) {
  reduce_to(x, y, factor, dims);
}

template <class T>
void repeat(const T* dy, T* dx, double factor, const ReductionDims& d) {
  if (packs_fit<T>(d.inner) && d.inner > 0) {
    const ColumnGrid grid = column_grid(d.outer, d.count, d.inner, pack_size<T>, plan_for_elements);
    launch(repeat_packed<T>, {grid}, dy, dx, Accumulator<T>(factor), grid);
  } else {
    launch(repeat_naive<T>, {grid_for(d.outer * d.count * d.inner), block_threads}, dy, dx,
           Accumulator<T>(factor), d);
  }
}

template <class T>
void column_sums(const T* x, Accumulator<T>* sums, int64_t rows, int64_t columns) {
  reduce_to(x, sums, 1.0, {1, rows, columns});
}

template <class T>
void add_partials(const Accumulator<T>* partial, T* y, const ReductionDims& d) {
  with_column_pack<Accumulator<T>>(d.inner, [&]<int N>() {
    const ColumnGrid grid = column_grid(d.outer, d.count, d.inner, N, plan_for_partials);
    launch(add_chunks<Accumulator<T>, T, N>, {grid, grid.shared_bytes<Accumulator<T>>(N)}, partial, y, grid);
  });
}

template <class T>
void max(const T* x, T* y, int64_t* index, const ReductionDims& d) {
  if (d.inner == 1 && d.count > few_rows)
    launch(max_rows<T>, {grid_for(d.outer * 32), block_threads}, x, y, index, d);
  else
    launch(max_naive<T>, {grid_for(d.outer * d.inner), block_threads}, x, y, index, d);
}

template <class T>
void max_backward(const T* dy, const int64_t* index, T* dx, const ReductionDims& d) {
  launch(max_backward_naive<T>, {grid_for(d.outer * d.count * d.inner), block_threads}, dy, index, dx, d);
}

#define INSTANTIATE(T)                                                               \
  template void max<T>(const T*, T*, int64_t*, const ReductionDims&);                \
  template void max_backward<T>(const T*, const int64_t*, T*, const ReductionDims&); \
  template void reduce<T>(const T*, T*, double, const ReductionDims&);               \
  template void repeat<T>(const T*, T*, double, const ReductionDims&);               \
  template void column_sums<T>(const T*, Accumulator<T>*, int64_t, int64_t);         \
  template void add_partials<T>(const Accumulator<T>*, T*, const ReductionDims&);
INSTANTIATE(float)
INSTANTIATE(double)
INSTANTIATE(bfloat16)

}  // namespace fovea::cuda
