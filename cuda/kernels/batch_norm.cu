// Batch normalisation over the rows of a matrix, or of each of its segments, with the activation that follows
// it (arXiv 1502.03167). Bytes moved, in passes over rows * channels * sizeof(T): statistics 1, normalising
// 2, the sums of the backward pass 2, dx 3. Storing g = dy f'(z) between the last two would cost a pass more.
//
// Each direction is two launches: the first cuts the rows into chunks, and its last block of each tile of
// channels merges them; the second is elementwise. Where a block can hold all rows of its channels, each
// direction is one launch.
#include "cuda/kernels/batch_norm.h"

#include <cmath>
#include <optional>

#include "cuda/device/last_block.h"
#include "cuda/kernels/activation.h"
#include "cuda/kernels/batch_norm_grid.h"
#include "cuda/runtime/launch.h"
#include "cuda/runtime/memory.h"
#include "cuda/runtime/stream.h"

namespace fovea::cuda {
namespace {

// Sums: two blocks on each multiprocessor of a large GPU, whatever the number of channels is; a chunk more
// would be a partial sum more for the last block.
constexpr ColumnPlan plan_for_chunks = {264, 4, 256, 32};
// All rows in one block, with 32 bytes of channels a row, a sector of memory.
constexpr int slab_threads = 512;
constexpr ColumnPlan plan_for_slabs = {1, int64_t(1) << 40, slab_threads, 2};
constexpr int64_t most_slab_steps = 4;

// Two sums a column, which the first line has, to `partial` (chunks, 2, channels).
template <int N, class R>
__device__ inline void store_partial(const R (&sums)[2 * N], R* partial, const SegmentPlace<N>& at,
                                     const SegmentGrid& g) {
  if (!at.first_line()) return;
  R* to = partial + 2 * at.chunk * g.columns + at.column;
  store_rounded<N>(to, sums);
  store_rounded<N>(to + g.columns, sums + N);
}

// ---- Statistics. partial (processes, chunks, 2, channels): the mean of a chunk and its squared distances
// from it, added.

// Of the block's rows, in its first line. In one pass: with p, the first row, near the values, nothing
// cancels in sum (x - mean)^2 = sum (x - p)^2 - (sum (x - p))^2 / n.
template <int N, class T>
__device__ inline void mean_and_squares(const T* x, const SegmentPlace<N>& at,
                                        Accumulator<T> (&sums)[2 * N]) {
  using R = Accumulator<T>;
  Pack<T, N> pivot = {};
  if (at.inside) pivot = load_pack<N>(x + at.offset(at.first));
  UNROLL for (int k = 0; k < 2 * N; ++k) sums[k] = 0;
  const T* const arrays[] = {x};
  for_each_row(at, arrays, [&](int64_t, const Pack<T, N>(&packs)[1]) {
    UNROLL for (int k = 0; k < N; ++k) {
      const R distance = R(packs[0].value[k]) - R(pivot.value[k]);
      sums[k] += distance;
      sums[N + k] += distance * distance;
    }
  });
  block_column_sum(sums);
  const R n = R(at.end - at.first);
  UNROLL for (int k = 0; k < N; ++k) {
    sums[N + k] -= sums[k] * sums[k] / n;
    sums[k] = R(pivot.value[k]) + sums[k] / n;
  }
}

// The chunks of the block's segment and channels in `partial`, merged as Chan, Golub and LeVeque do, all at
// once, relative to the first one's mean: that keeps the digits without arithmetic in double, which GPUs made
// for games do at 1/64 of the rate.
template <int N, class R>
__device__ inline void merged_mean_and_squares(const R* partial, int processes, const SegmentPlace<N>& at,
                                               const SegmentGrid& g, R (&sums)[2 * N]) {
  const R* from = partial + 2 * at.of.first * g.columns + at.column;
  Pack<R, N> pivot = {};
  if (at.inside) pivot = load_pack<N>(from);
  UNROLL for (int k = 0; k < 2 * N; ++k) sums[k] = 0;
  for (int process = 0; process < processes; ++process, from += 2 * g.partials())
    for (int64_t i = at.inside ? threadIdx.y : at.of.count; i < at.of.count; i += blockDim.y) {
      const int64_t left = at.of.rows - i * g.chunk_rows;
      const R rows = R(left < g.chunk_rows ? left : g.chunk_rows);
      const auto mean = load_pack<N>(from + 2 * i * g.columns);
      const auto squares = load_pack<N>(from + (2 * i + 1) * g.columns);
      UNROLL for (int k = 0; k < N; ++k) {
        const R distance = mean.value[k] - pivot.value[k];
        sums[k] += rows * distance;
        sums[N + k] += squares.value[k] + rows * distance * distance;
      }
    }
  block_column_sum(sums);
  const R n = R(at.of.rows * processes);
  UNROLL for (int k = 0; k < N; ++k) {
    sums[N + k] -= sums[k] * sums[k] / n;
    sums[k] = pivot.value[k] + sums[k] / n;
  }
}

template <int N, class R>
__device__ inline void write_coefficients(const Pack<R, N>& mean, const Pack<R, N>& variance,
                                          const BatchNormTable<R>& norms, const BatchNormCoefficients<R>& to,
                                          const SegmentPlace<N>& at) {
  const auto weight = load_pack<N>(norms.of[at.segment].weight + at.column);
  const auto bias = load_pack<N>(norms.of[at.segment].bias + at.column);
  Pack<R, N> scale, shift, inverse_std;
  UNROLL for (int k = 0; k < N; ++k) {
    inverse_std.value[k] = R(1) / std::sqrt(variance.value[k] + norms.epsilon);
    scale.value[k] = weight.value[k] * inverse_std.value[k];
    shift.value[k] = bias.value[k] - mean.value[k] * scale.value[k];
  }
  store_pack(to.scale + at.coefficient(), scale);
  store_pack(to.shift + at.coefficient(), shift);
  store_pack(to.mean + at.coefficient(), mean);
  store_pack(to.inverse_std + at.coefficient(), inverse_std);
}

// From the batch's mean and squared distances, which the first line has. Moves the running averages.
template <int N, class R>
__device__ inline void coefficients_of_batch(const R (&sums)[2 * N], R rows, const BatchNormTable<R>& norms,
                                             const BatchNormCoefficients<R>& to, const SegmentPlace<N>& at) {
  if (!at.first_line()) return;
  Pack<R, N> mean, variance;
  UNROLL for (int k = 0; k < N; ++k) {
    mean.value[k] = sums[k];
    variance.value[k] = sums[N + k] < 0 ? R(0) : sums[N + k] / rows;  // by rounding; a NaN stays
  }
  write_coefficients(mean, variance, norms, to, at);
  const BatchNormParameters<R> norm = norms.of[at.segment];
  if (!norm.running_mean) return;
  const R unbiased = rows > 1 ? rows / (rows - 1) : R(1), keep = 1 - norms.momentum;
  auto running_mean = load_pack<N>(norm.running_mean + at.column);
  auto running_variance = load_pack<N>(norm.running_variance + at.column);
  UNROLL for (int k = 0; k < N; ++k) {
    running_mean.value[k] = keep * running_mean.value[k] + norms.momentum * mean.value[k];
    running_variance.value[k] =
        keep * running_variance.value[k] + norms.momentum * unbiased * variance.value[k];
  }
  store_pack(norm.running_mean + at.column, running_mean);
  store_pack(norm.running_variance + at.column, running_variance);
}

template <int N, class R>
__device__ inline void coefficients_of_running(const BatchNormTable<R>& norms,
                                               const BatchNormCoefficients<R>& to,
                                               const SegmentPlace<N>& at) {
  if (!at.first_line()) return;
  const BatchNormParameters<R> norm = norms.of[at.segment];
  write_coefficients(load_pack<N>(norm.running_mean + at.column),
                     load_pack<N>(norm.running_variance + at.column), norms, to, at);
}

// Without tickets coefficients_from_chunks merges the chunks.
template <class T, int N>
__global__ void statistics_chunks(const T* x, Accumulator<T>* partial, unsigned* tickets,
                                  BatchNormTable<Accumulator<T>> norms,
                                  BatchNormCoefficients<Accumulator<T>> to, SegmentGrid grid) {
  using R = Accumulator<T>;
  const SegmentPlace<N> at(grid);
  R sums[2 * N];
  mean_and_squares(x, at, sums);
  store_partial(sums, partial, at, grid);
  if (!tickets || !is_last_block(tickets + at.group(grid), unsigned(at.of.count))) return;
  merged_mean_and_squares(partial, 1, at, grid, sums);
  coefficients_of_batch(sums, R(at.of.rows), norms, to, at);
}

// For several processes, and from the running averages where there are no chunks. One block a segment and
// tile.
template <class R, int N>
__global__ void coefficients_from_chunks(const R* partial, int processes, BatchNormTable<R> norms,
                                         BatchNormCoefficients<R> to, SegmentGrid grid) {
  const SegmentPlace<N> at(grid, grid.of[blockIdx.x / unsigned(grid.tiles)].first);
  if (!partial) return coefficients_of_running(norms, to, at);
  R sums[2 * N];
  merged_mean_and_squares(partial, processes, at, grid, sums);
  coefficients_of_batch(sums, R(at.of.rows * processes), norms, to, at);
}

// ---- Normalising

template <class F, int N, class T, class R>
__device__ inline void normalize_rows(const T* x, const BatchNormCoefficients<R>& norm, T* y,
                                      const SegmentPlace<N>& at) {
  if (!at.inside) return;
  const auto scale = load_pack<N>(norm.scale + at.coefficient());
  const auto shift = load_pack<N>(norm.shift + at.coefficient());
  const T* const arrays[] = {x};
  for_each_row(at, arrays, [&](int64_t offset, const Pack<T, N>(&packs)[1]) {
    Pack<T, N> result;
    UNROLL for (int k = 0; k < N; ++k) {
      result.value[k] = T(F::forward(R(packs[0].value[k]) * scale.value[k] + shift.value[k]));
    }
    store_pack(y + offset, result);
  });
}

template <class F, class T, int N>
__global__ void normalize_chunks(const T* x, BatchNormCoefficients<Accumulator<T>> norm, T* y,
                                 SegmentGrid grid) {
  normalize_rows<F>(x, norm, y, SegmentPlace<N>(grid));
}

// A block has all rows of its channels.
template <class F, class T>
__global__ void __launch_bounds__(slab_threads)
    normalize_slab_packed(const T* x, bool training, BatchNormTable<Accumulator<T>> norms,
                          BatchNormCoefficients<Accumulator<T>> to, T* y, SegmentGrid grid) {
  using R = Accumulator<T>;
  constexpr int N = pack_size<T>;
  const SegmentPlace<N> at(grid);
  if (training) {
    R sums[2 * N];
    mean_and_squares(x, at, sums);
    coefficients_of_batch(sums, R(at.of.rows), norms, to, at);
  } else {
    coefficients_of_running(norms, to, at);
  }
  __syncthreads();
  normalize_rows<F>(x, to, y, at);
}

// ---- Gradient. With z = x * scale + shift and g = dy f'(z), dbias = sum g and dweight = sum g (x - mean)
// inverse_std.

template <class F, class R>
__device__ inline R gradient_of_z(R x, R dy, R scale, R shift) {
  return dy * F::derivative(x * scale + shift);
}

// sum g and sum g (x - mean) of the block's rows, in its first line
template <class F, int N, class T, class R>
__device__ inline void gradient_sums(const T* x, const T* dy, const BatchNormCoefficients<R>& norm,
                                     const SegmentPlace<N>& at, R (&sums)[2 * N]) {
  Pack<R, N> scale = {}, shift = {}, mean = {};
  if (at.inside) {
    scale = load_pack<N>(norm.scale + at.coefficient());
    shift = load_pack<N>(norm.shift + at.coefficient());
    mean = load_pack<N>(norm.mean + at.coefficient());
  }
  UNROLL for (int k = 0; k < 2 * N; ++k) sums[k] = 0;
  const T* const arrays[] = {x, dy};
  for_each_row(at, arrays, [&](int64_t, const Pack<T, N>(&packs)[2]) {
    UNROLL for (int k = 0; k < N; ++k) {
      const R value = R(packs[0].value[k]);
      const R g = gradient_of_z<F>(value, R(packs[1].value[k]), scale.value[k], shift.value[k]);
      sums[k] += g;
      sums[N + k] += g * (value - mean.value[k]);
    }
  });
  block_column_sum(sums);
}

template <int N, class R>
__device__ inline void merged_sums(const R* partial, int first_process, int processes,
                                   const SegmentPlace<N>& at, const SegmentGrid& g, R (&sums)[2 * N]) {
  const R* from = partial + 2 * (first_process * g.partials() + at.of.first * g.columns) + at.column;
  UNROLL for (int k = 0; k < 2 * N; ++k) sums[k] = 0;
  for (int process = 0; process < processes; ++process, from += 2 * g.partials())
    for (int64_t i = at.inside ? threadIdx.y : at.of.count; i < at.of.count; i += blockDim.y) {
      const auto g_sum = load_pack<N>(from + 2 * i * g.columns);
      const auto gx_sum = load_pack<N>(from + (2 * i + 1) * g.columns);
      UNROLL for (int k = 0; k < N; ++k) {
        sums[k] += g_sum.value[k];
        sums[N + k] += gx_sum.value[k];
      }
    }
  block_column_sum(sums);
}

// What dx = scale * g - constant - x * slope needs: the terms of mean and variance (arXiv 1502.03167, section
// 3), 0 where these are running averages. (segments, channels) each.
template <class R>
struct StatisticsGradient {
  R *constant, *slope;
};

// From the sums, which the first line has: those of all processes for what the statistics carry, this
// process's own for the parameters, whose gradients are added later.
template <int N, class R>
__device__ inline void write_gradients(const R (&all)[2 * N], const R (&own)[2 * N], R rows,
                                       bool batch_statistics, const BatchNormCoefficients<R>& norm,
                                       const BatchNormTable<R>& gradients, const StatisticsGradient<R>& to,
                                       const SegmentPlace<N>& at) {
  if (!at.first_line()) return;
  const auto scale = load_pack<N>(norm.scale + at.coefficient());
  const auto mean = load_pack<N>(norm.mean + at.coefficient());
  const auto inverse_std = load_pack<N>(norm.inverse_std + at.coefficient());
  Pack<R, N> weight, slope = {}, constant = {};
  UNROLL for (int k = 0; k < N; ++k) {
    weight.value[k] = own[N + k] * inverse_std.value[k];
    if (!batch_statistics) continue;
    slope.value[k] = scale.value[k] * inverse_std.value[k] * inverse_std.value[k] * all[N + k] / rows;
    constant.value[k] = scale.value[k] * all[k] / rows - slope.value[k] * mean.value[k];
  }
  store_pack(gradients.of[at.segment].weight + at.column, weight);
  store_rounded<N>(gradients.of[at.segment].bias + at.column, own);
  store_pack(to.slope + at.coefficient(), slope);
  store_pack(to.constant + at.coefficient(), constant);
}

// Without tickets gradients_from_chunks adds up the chunks.
template <class F, class T, int N>
__global__ void sums_chunks(const T* x, const T* dy, BatchNormCoefficients<Accumulator<T>> norm,
                            Accumulator<T>* partial, unsigned* tickets, bool batch_statistics,
                            BatchNormTable<Accumulator<T>> gradients, StatisticsGradient<Accumulator<T>> to,
                            SegmentGrid grid) {
  using R = Accumulator<T>;
  const SegmentPlace<N> at(grid);
  R sums[2 * N];
  gradient_sums<F>(x, dy, norm, at, sums);
  store_partial(sums, partial, at, grid);
  if (!tickets || !is_last_block(tickets + at.group(grid), unsigned(at.of.count))) return;
  merged_sums(partial, 0, 1, at, grid, sums);
  write_gradients(sums, sums, R(at.of.rows), batch_statistics, norm, gradients, to, at);
}

// For several processes. One block a segment and tile.
template <class R, int N>
__global__ void gradients_from_chunks(const R* partial, int rank, int processes,
                                      BatchNormCoefficients<R> norm, BatchNormTable<R> gradients,
                                      StatisticsGradient<R> to, SegmentGrid grid) {
  const SegmentPlace<N> at(grid, grid.of[blockIdx.x / unsigned(grid.tiles)].first);
  R all[2 * N], own[2 * N];
  merged_sums(partial, 0, processes, at, grid, all);
  merged_sums(partial, rank, 1, at, grid, own);
  write_gradients(all, own, R(at.of.rows * processes), true, norm, gradients, to, at);
}

template <class F, int N, class T, class R>
__device__ inline void gradient_rows(const T* x, const T* dy, const BatchNormCoefficients<R>& norm,
                                     const StatisticsGradient<R>& statistics, T* dx,
                                     const SegmentPlace<N>& at) {
  if (!at.inside) return;
  const auto scale = load_pack<N>(norm.scale + at.coefficient());
  const auto shift = load_pack<N>(norm.shift + at.coefficient());
  const auto constant = load_pack<N>(statistics.constant + at.coefficient());
  const auto slope = load_pack<N>(statistics.slope + at.coefficient());
  const T* const arrays[] = {x, dy};
  for_each_row(at, arrays, [&](int64_t offset, const Pack<T, N>(&packs)[2]) {
    Pack<T, N> result;
    UNROLL for (int k = 0; k < N; ++k) {
      const R value = R(packs[0].value[k]);
      const R g = gradient_of_z<F>(value, R(packs[1].value[k]), scale.value[k], shift.value[k]);
      result.value[k] = T(scale.value[k] * g - constant.value[k] - value * slope.value[k]);
    }
    store_pack(dx + offset, result);
  });
}

template <class F, class T, int N>
__global__ void gradient_chunks(const T* x, const T* dy, BatchNormCoefficients<Accumulator<T>> norm,
                                StatisticsGradient<Accumulator<T>> statistics, T* dx, SegmentGrid grid) {
  gradient_rows<F>(x, dy, norm, statistics, dx, SegmentPlace<N>(grid));
}

// A block has all rows of its channels.
template <class F, class T>
__global__ void __launch_bounds__(slab_threads)
    gradient_slab_packed(const T* x, const T* dy, BatchNormCoefficients<Accumulator<T>> norm,
                         bool batch_statistics, BatchNormTable<Accumulator<T>> gradients,
                         StatisticsGradient<Accumulator<T>> to, T* dx, SegmentGrid grid) {
  using R = Accumulator<T>;
  constexpr int N = pack_size<T>;
  const SegmentPlace<N> at(grid);
  R sums[2 * N];
  gradient_sums<F>(x, dy, norm, at, sums);
  write_gradients(sums, sums, R(at.of.rows), batch_statistics, norm, gradients, to, at);
  __syncthreads();
  gradient_rows<F>(x, dy, norm, to, dx, at);
}

// ---- Launches

// Where this process writes its partial sums, and the others' are behind a gather.
template <class R>
class SharedPartial {
 public:
  SharedPartial(const SegmentGrid& grid, ProcessGroup& group)
      : group_(group), size_(2 * grid.partials()), all_(size_ * group.size()) {}
  R* own() const { return all_.data() + size_ * group_.rank(); }
  const R* gather() const {
    group_.all_gather_on_device(all_.data(), size_t(size_) * sizeof(R));
    return all_.data();
  }

 private:
  ProcessGroup& group_;
  int64_t size_;
  Workspace<R> all_;
};

// How the first launch's blocks finish it: by tickets, or, where the partial sums of several processes must
// be gathered first, by a launch of one block a segment and tile.
unsigned* tickets_for(const SegmentGrid& grid, const ProcessGroup& group) {
  return group.size() == 1 ? current_stream().tickets(grid.segments * grid.tiles) : nullptr;
}
template <class R>
LaunchConfig one_block_a_tile(const SegmentGrid& grid, int sums) {
  return {dim3(unsigned(grid.segments * grid.tiles)), grid.block(), grid.shared_bytes<R>(sums)};
}

// The grid where blocks have all rows of their channels; nothing where these are too many, or packs do not
// fit.
template <class T>
std::optional<SegmentGrid> slabs_for(const BatchNormDims& d, const ProcessGroup& group) {
  if (!packs_fit<T>(d.channels) || group.size() > 1) return {};
  const SegmentGrid slabs = segment_grid(d, pack_size<T>, plan_for_slabs);
  if (slabs.steps() > most_slab_steps) return {};
  return slabs;
}

SegmentGrid grid_for_chunks(const BatchNormDims& d, int pack) {
  ColumnPlan plan = plan_for_chunks;
  if (d.channels / pack > plan.columns) plan.blocks *= 2;  // of several tiles: fewer chunks each
  return segment_grid(d, pack, plan);
}

}  // namespace

template <class F, class T>
void batch_norm_forward(const T* x, const BatchNormTable<Accumulator<T>>& norms, bool training,
                        ProcessGroup* of, const BatchNormCoefficients<Accumulator<T>>& coefficients, T* y,
                        const BatchNormDims& d) {
  using R = Accumulator<T>;
  ProcessGroup& group = of && training ? *of : single_process();
  if (const std::optional<SegmentGrid> slabs = slabs_for<T>(d, group))
    return launch(normalize_slab_packed<F, T>, {*slabs, slabs->shared_bytes<R>(2 * pack_size<T>)}, x,
                  training, norms, coefficients, y, *slabs);
  with_column_pack<T>(d.channels, [&]<int N>() {
    const SegmentGrid grid = grid_for_chunks(d, N);
    const auto finish = [&](const R* partial) {
      launch(coefficients_from_chunks<R, N>, one_block_a_tile<R>(grid, 2 * N), partial, group.size(), norms,
             coefficients, grid);
    };
    if (training) {
      const SharedPartial<R> partial(grid, group);
      launch(statistics_chunks<T, N>, {grid, grid.shared_bytes<R>(2 * N)}, x, partial.own(),
             tickets_for(grid, group), norms, coefficients, grid);
      if (group.size() > 1) finish(partial.gather());
    } else {
      finish(nullptr);
    }
    const SegmentGrid elements = segment_grid(d, N, plan_for_elements);
    launch(normalize_chunks<F, T, N>, {elements}, x, coefficients, y, elements);
  });
}

template <class F, class T>
void batch_norm_backward(const T* x, const T* dy, const BatchNormCoefficients<Accumulator<T>>& norm,
                         bool batch_statistics, ProcessGroup* of, T* dx,
                         const BatchNormTable<Accumulator<T>>& gradients, const BatchNormDims& d) {
  using R = Accumulator<T>;
  const Workspace<R> constant(d.segments * d.channels), slope(d.segments * d.channels);
  const StatisticsGradient<R> statistics{constant.data(), slope.data()};
  ProcessGroup& group = of && batch_statistics ? *of : single_process();
  if (const std::optional<SegmentGrid> slabs = slabs_for<T>(d, group))
    return launch(gradient_slab_packed<F, T>, {*slabs, slabs->shared_bytes<R>(2 * pack_size<T>)}, x, dy, norm,
                  batch_statistics, gradients, statistics, dx, *slabs);
  with_column_pack<T>(d.channels, [&]<int N>() {
    const SegmentGrid grid = grid_for_chunks(d, N);
    const SharedPartial<R> partial(grid, group);
    launch(sums_chunks<F, T, N>, {grid, grid.shared_bytes<R>(2 * N)}, x, dy, norm, partial.own(),
           tickets_for(grid, group), batch_statistics, gradients, statistics, grid);
    if (group.size() > 1)
      launch(gradients_from_chunks<R, N>, one_block_a_tile<R>(grid, 2 * N), partial.gather(), group.rank(),
             group.size(), norm, gradients, statistics, grid);
    const SegmentGrid elements = segment_grid(d, N, plan_for_elements);
    launch(gradient_chunks<F, T, N>, {elements}, x, dy, norm, statistics, dx, elements);
  });
}

#define INSTANTIATE(F, T)                                                                                   \
  template void batch_norm_forward<F, T>(const T*, const BatchNormTable<Accumulator<T>>&, bool,             \
                                         ProcessGroup*, const BatchNormCoefficients<Accumulator<T>>&, T*,   \
                                         const BatchNormDims&);                                             \
  template void batch_norm_backward<F, T>(const T*, const T*, const BatchNormCoefficients<Accumulator<T>>&, \
                                          bool, ProcessGroup*, T*, const BatchNormTable<Accumulator<T>>&,   \
                                          const BatchNormDims&);
#define FOR_EACH_DTYPE(name, F) INSTANTIATE(F, float) INSTANTIATE(F, double) INSTANTIATE(F, bfloat16)
FOVEA_ACTIVATIONS(FOR_EACH_DTYPE)

}  // namespace fovea::cuda
