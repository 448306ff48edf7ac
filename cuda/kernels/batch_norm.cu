// Batch normalisation over the rows of a matrix, or of each of its segments, and the activation after it
// (arXiv 1502.03167). Bytes moved, in passes over rows * channels * sizeof(T): statistics 1, normalising 2,
// the sums of the backward pass 2, dx 3. Storing g = dy f'(z) between the last two would add a pass.
//
// Each direction takes two launches. The first sums chunks of the rows, and the last block of each tile of
// channels merges the sums into what the second, elementwise launch needs. If a block can hold all rows of
// its channels, each direction is one launch. If the preceding convolution has gathered the statistics, the
// first forward launch only merges them.
#include "cuda/kernels/batch_norm.h"

#include <cmath>

#include "cuda/device/last_block.h"
#include "cuda/device/segments.h"
#include "cuda/kernels/activation.h"
#include "cuda/runtime/launch.h"
#include "cuda/runtime/memory.h"
#include "cuda/runtime/stream.h"

namespace fovea::cuda {
namespace {

// ---- Forward. Each direction is a struct of its arguments with functions: sum() adds a block's rows to two
// sums per column in the block's first line, merge() merges such sums of chunks, finish() uses them, and in a
// second struct apply() applies the result to a block's rows.

// The mean, and the sum of squared distances from it.
template <class T>
struct Statistics {
  using R = Accumulator<T>;
  const T* x;
  bool training;
  BatchNormTable<R> norms;
  BatchNormCoefficients<R> norm;
  BatchNormChunks<R> given;

  // Otherwise the coefficients follow from the running averages or from given statistics.
  bool has_sums() const { return training && !given.count; }

  // In one pass: with the first row p near the values, nothing cancels in sum (x - mean)^2 = sum (x - p)^2 -
  // (sum (x - p))^2 / n.
  template <int N>
  __device__ void sum(const SegmentPlace<N>& at, R (&sums)[2 * N]) const {
    if (!training) return;
    Pack<T, N> pivot = {};
    if (at.inside) pivot = load_pack<N>(x + at.offset(at.first));
    for_each_row<N, T, 1>(at, {x}, [&](int64_t, const Pack<T, N>(&packs)[1]) {
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

  // Merges as Chan, Golub and LeVeque do, but all at once, relative to the first chunk's mean: that keeps the
  // digits without arithmetic in double, which consumer GPUs run at 1/64 of the rate.
  template <int N>
  __device__ void merge(const Chunks<N, R>& chunks, const SegmentPlace<N>& at, R (&sums)[2 * N]) const {
    if (!training) return;
    Pack<R, N> pivot = {};
    if (at.inside) pivot = load_pack<N>(chunks.first());
    chunks.for_each([&](int64_t rows, const Pack<R, N>& mean, const Pack<R, N>& squares) {
      UNROLL for (int k = 0; k < N; ++k) {
        const R distance = mean.value[k] - pivot.value[k];
        sums[k] += R(rows) * distance;
        sums[N + k] += squares.value[k] + R(rows) * distance * distance;
      }
    });
    block_column_sum(sums);
    UNROLL for (int k = 0; k < N; ++k) {
      sums[N + k] -= sums[k] * sums[k] / R(chunks.rows());
      sums[k] = pivot.value[k] + sums[k] / R(chunks.rows());
    }
  }

  // Writes the coefficients and updates the running averages.
  template <int N>
  __device__ void finish(const R (&sums)[2 * N], const R (&)[2 * N], int64_t rows,
                         const SegmentPlace<N>& at) const {
    const BatchNormParameters<R> of = norms.of[at.segment];
    const auto weight = load_pack<N>(of.weight + at.column), bias = load_pack<N>(of.bias + at.column);
    Pack<R, N> mean, variance, running_mean = {}, running_variance = {}, scale, shift, inverse_std;
    if (of.running_mean) running_mean = load_pack<N>(of.running_mean + at.column);
    if (of.running_mean) running_variance = load_pack<N>(of.running_variance + at.column);
    const R unbiased = rows > 1 ? R(rows) / R(rows - 1) : R(1), keep = 1 - norms.momentum;
    UNROLL for (int k = 0; k < N; ++k) {
      // Rounding may give less than 0; a NaN stays.
      mean.value[k] = training ? sums[k] : running_mean.value[k];
      variance.value[k] = !training            ? running_variance.value[k]
                          : sums[N + k] < R(0) ? R(0)
                                               : sums[N + k] / R(rows);
      inverse_std.value[k] = R(1) / std::sqrt(variance.value[k] + norms.epsilon);
      scale.value[k] = weight.value[k] * inverse_std.value[k];
      shift.value[k] = bias.value[k] - mean.value[k] * scale.value[k];
      running_mean.value[k] = keep * running_mean.value[k] + norms.momentum * mean.value[k];
      running_variance.value[k] =
          keep * running_variance.value[k] + norms.momentum * unbiased * variance.value[k];
    }
    store_pack(norm.scale + at.coefficient(), scale);
    store_pack(norm.shift + at.coefficient(), shift);
    store_pack(norm.mean + at.coefficient(), mean);
    store_pack(norm.inverse_std + at.coefficient(), inverse_std);
    if (!training || !of.running_mean) return;
    store_pack(of.running_mean + at.column, running_mean);
    store_pack(of.running_variance + at.column, running_variance);
  }
};

template <class F, class T>
struct Normalize : Statistics<T> {
  using Sums = Statistics<T>;
  using R = Accumulator<T>;
  T* y;

  template <int N>
  __device__ void apply(const SegmentPlace<N>& at) const {
    if (!at.inside) return;
    const auto scale = load_pack<N>(this->norm.scale + at.coefficient());
    const auto shift = load_pack<N>(this->norm.shift + at.coefficient());
    for_each_row<N, T, 1>(at, {this->x}, [&](int64_t offset, const Pack<T, N>(&packs)[1]) {
      Pack<T, N> result;
      UNROLL for (int k = 0; k < N; ++k) {
        result.value[k] = T(F::forward(R(packs[0].value[k]) * scale.value[k] + shift.value[k]));
      }
      store_pack(y + offset, result);
    });
  }
};

// ---- Backward. With z = x * scale + shift and g = dy f'(z), dbias = sum g and dweight = sum g (x - mean)
// inverse_std.

template <class F, class R>
__device__ inline R gradient_of_z(R x, R dy, R scale, R shift) {
  return dy * F::derivative(x * scale + shift);
}

template <class F, class T>
struct GradientSums {
  using R = Accumulator<T>;
  const T *x, *dy;
  bool training;  // otherwise the statistics carry no gradient
  BatchNormTable<R> gradients;
  BatchNormCoefficients<R> norm;
  BatchNormChunks<R> given;  // none
  // (segments, channels) each: what dx = scale * g - constant - x * slope needs, the gradient terms of mean
  // and variance (arXiv 1502.03167, section 3).
  R *constant, *slope;

  bool has_sums() const { return true; }
  template <int N>
  __device__ void sum(const SegmentPlace<N>& at, R (&sums)[2 * N]) const {
    Pack<R, N> scale = {}, shift = {}, mean = {};
    if (at.inside) {
      scale = load_pack<N>(norm.scale + at.coefficient());
      shift = load_pack<N>(norm.shift + at.coefficient());
      mean = load_pack<N>(norm.mean + at.coefficient());
    }
    for_each_row<N, T, 2>(at, {x, dy}, [&](int64_t, const Pack<T, N>(&packs)[2]) {
      UNROLL for (int k = 0; k < N; ++k) {
        const R value = R(packs[0].value[k]);
        const R g = gradient_of_z<F>(value, R(packs[1].value[k]), scale.value[k], shift.value[k]);
        sums[k] += g;
        sums[N + k] += g * (value - mean.value[k]);
      }
    });
    block_column_sum(sums);
  }

  template <int N>
  __device__ void merge(const Chunks<N, R>& chunks, const SegmentPlace<N>&, R (&sums)[2 * N]) const {
    chunks.for_each([&](int64_t, const Pack<R, N>& g, const Pack<R, N>& gx) {
      UNROLL for (int k = 0; k < N; ++k) {
        sums[k] += g.value[k];
        sums[N + k] += gx.value[k];
      }
    });
    block_column_sum(sums);
  }

  // The gradient terms of the statistics need the sums of all processes, the parameters only this process's
  // sums, whose gradients are added later.
  template <int N>
  __device__ void finish(const R (&all)[2 * N], const R (&own)[2 * N], int64_t rows,
                         const SegmentPlace<N>& at) const {
    const auto scale = load_pack<N>(norm.scale + at.coefficient());
    const auto mean = load_pack<N>(norm.mean + at.coefficient());
    const auto inverse_std = load_pack<N>(norm.inverse_std + at.coefficient());
    Pack<R, N> weight, of_variance = {}, of_mean = {};
    UNROLL for (int k = 0; k < N; ++k) {
      weight.value[k] = own[N + k] * inverse_std.value[k];
      if (!training) continue;
      of_variance.value[k] =
          scale.value[k] * inverse_std.value[k] * inverse_std.value[k] * all[N + k] / R(rows);
      of_mean.value[k] = scale.value[k] * all[k] / R(rows) - of_variance.value[k] * mean.value[k];
    }
    store_pack(gradients.of[at.segment].weight + at.column, weight);
    store_rounded<N>(gradients.of[at.segment].bias + at.column, own);
    store_pack(slope + at.coefficient(), of_variance);
    store_pack(constant + at.coefficient(), of_mean);
  }
};

template <class F, class T>
struct Gradient : GradientSums<F, T> {
  using Sums = GradientSums<F, T>;
  using R = Accumulator<T>;
  T* dx;

  template <int N>
  __device__ void apply(const SegmentPlace<N>& at) const {
    if (!at.inside) return;
    const auto scale = load_pack<N>(this->norm.scale + at.coefficient());
    const auto shift = load_pack<N>(this->norm.shift + at.coefficient());
    const auto of_mean = load_pack<N>(this->constant + at.coefficient());
    const auto of_variance = load_pack<N>(this->slope + at.coefficient());
    for_each_row<N, T, 2>(at, {this->x, this->dy}, [&](int64_t offset, const Pack<T, N>(&packs)[2]) {
      Pack<T, N> result;
      UNROLL for (int k = 0; k < N; ++k) {
        const R value = R(packs[0].value[k]);
        const R g = gradient_of_z<F>(value, R(packs[1].value[k]), scale.value[k], shift.value[k]);
        result.value[k] = T(scale.value[k] * g - of_mean.value[k] - value * of_variance.value[k]);
      }
      store_pack(dx + offset, result);
    });
  }
};

// ---- The kernels of both directions

// partial (processes, chunks, 2, channels). Without tickets, finish_chunks does the rest.
template <class Pass, int N>
__global__ void sum_chunks(Pass pass, typename Pass::R* partial, unsigned* tickets, SegmentGrid grid) {
  using R = typename Pass::R;
  const SegmentPlace<N> at(grid);
  R sums[2 * N] = {};
  pass.sum(at, sums);
  if (at.first_line()) Chunks<N, R>::store(sums, partial, at, grid);
  if (!tickets || !is_last_block(tickets + at.group(grid), unsigned(at.of.count))) return;
  R all[2 * N] = {};
  pass.merge(Chunks<N, R>(partial, 1, at, grid), at, all);
  if (at.first_line()) pass.finish(all, all, at.of.rows, at);
}

// For chunks that were gathered from several processes or given, or if there are none. One block per segment
// and tile.
template <class Pass, int N>
__global__ void finish_chunks(Pass pass, const typename Pass::R* partial, int rank, int processes,
                              SegmentGrid grid) {
  using R = typename Pass::R;
  const SegmentPlace<N> at(grid, grid.of[blockIdx.x / unsigned(grid.tiles)].first);
  R all[2 * N] = {}, own[2 * N] = {};
  pass.merge(Chunks<N, R>(partial, processes, at, grid, pass.given.rows), at, all);
  if (processes > 1)
    pass.merge(Chunks<N, R>(partial + 2 * rank * grid.chunks * grid.columns, 1, at, grid), at, own);
  UNROLL for (int k = 0; k < 2 * N; ++k) own[k] = processes > 1 ? own[k] : all[k];
  if (at.first_line()) pass.finish(all, own, at.of.rows * processes, at);
}

template <class Pass, int N>
__global__ void apply_chunks(Pass pass, SegmentGrid grid) {
  pass.apply(SegmentPlace<N>(grid));
}

// A block has all rows of its channels.
constexpr int slab_threads = 512;
template <class Pass, int N>
__global__ void __launch_bounds__(slab_threads) whole_chunks(Pass pass, SegmentGrid grid) {
  const SegmentPlace<N> at(grid);
  typename Pass::R sums[2 * N] = {};
  pass.sum(at, sums);
  if (at.first_line()) pass.finish(sums, sums, at.of.rows, at);
  __syncthreads();
  pass.apply(at);
}

// ---- Launches

// Sums: two blocks on each multiprocessor of a large GPU, for any number of channels; more chunks would mean
// more partial sums for the last block.
constexpr ColumnPlan plan_for_chunks = {264, 4, 256, 32}, plan_for_tiles = {528, 4, 256, 32};
// All rows in one block, with 32 bytes of channels per row (a memory sector), if a thread has few rows.
constexpr ColumnPlan plan_for_slabs = {1, int64_t(1) << 40, slab_threads, 2};
constexpr int64_t most_slab_steps = 4;
constexpr ColumnPlan plan_for_given = {1, int64_t(1) << 40, 256, 4};  // 32 channels per block, and all chunks

SegmentGrid grid_of(const BatchNormDims& d, int pack, ColumnPlan plan) {
  return segment_grid(d.images, std::span(d.size, size_t(d.segments)), d.channels, pack, plan);
}

template <class T, class Pass>
void run(const Pass& pass, ProcessGroup* of, const BatchNormDims& d) {
  using R = Accumulator<T>;
  using Sums = typename Pass::Sums;
  static_assert(BatchNormDims::max_segments == max_segments);
  ProcessGroup& group = of && pass.training ? *of : single_process();
  const bool alone = group.size() == 1;
  const int64_t given = pass.given.count;
  with_column_pack<T>(d.channels, [&]<int N>() {
    if (const SegmentGrid slabs = grid_of(d, N, plan_for_slabs);
        alone && !given && slabs.steps() <= most_slab_steps)
      return launch(whole_chunks<Pass, N>, {slabs, slabs.shared_bytes<R>(2 * N)}, pass, slabs);
    SegmentGrid grid = grid_of(d, N,
                               given                                      ? plan_for_given
                               : d.channels / N > plan_for_chunks.columns ? plan_for_tiles
                                                                          : plan_for_chunks);
    if (given) grid.of[0].count = grid.chunks = given;
    const size_t shared_bytes = grid.shared_bytes<R>(2 * N);
    const int64_t groups = grid.segments * grid.tiles, size = 2 * grid.partials();
    const Workspace<R> partial(given ? 0 : size * group.size());
    if (pass.has_sums())
      launch(sum_chunks<Sums, N>, {grid, shared_bytes}, pass, partial.data() + size * group.rank(),
             alone ? current_stream().tickets(groups) : nullptr, grid);
    if (!alone) group.all_gather_on_device(partial.data(), size_t(size) * sizeof(R));
    if (!alone || !pass.has_sums())
      launch(finish_chunks<Sums, N>,
             LaunchConfig(dim3(unsigned(groups)), grid.block(), shared_bytes)
                 .moves(size * group.size() * int64_t(sizeof(R))),
             pass, given ? pass.given.statistics : partial.data(), group.rank(), group.size(), grid);
    const SegmentGrid elements = grid_of(d, N, plan_for_elements);
    launch(apply_chunks<Pass, N>, {elements}, pass, elements);
  });
}

}  // namespace

template <class F, class T>
void batch_norm_forward(const T* x, const BatchNormTable<Accumulator<T>>& norms, bool training,
                        ProcessGroup* group, const BatchNormCoefficients<Accumulator<T>>& coefficients, T* y,
                        const BatchNormDims& d, const BatchNormChunks<Accumulator<T>>& given) {
  Normalize<F, T> pass{{x, training, norms, coefficients, given}, y};
  if (group && group->size() > 1) pass.given = {};  // the other processes' statistics are unknown
  run<T>(pass, group, d);
}

bool batch_norm_is_one_launch(const BatchNormDims& d, int pack) {
  return grid_of(d, pack, plan_for_slabs).steps() <= most_slab_steps;
}

template <class F, class T>
void batch_norm_backward(const T* x, const T* dy, const BatchNormCoefficients<Accumulator<T>>& norm,
                         bool training, ProcessGroup* group, T* dx,
                         const BatchNormTable<Accumulator<T>>& gradients, const BatchNormDims& d) {
  const Workspace<Accumulator<T>> constant(d.segments * d.channels), slope(d.segments * d.channels);
  run<T>(Gradient<F, T>{{x, dy, training, gradients, norm, {}, constant.data(), slope.data()}, dx}, group, d);
}

#define INSTANTIATE(F, T)                                                                                   \
  template void batch_norm_forward<F, T>(const T*, const BatchNormTable<Accumulator<T>>&, bool,             \
                                         ProcessGroup*, const BatchNormCoefficients<Accumulator<T>>&, T*,   \
                                         const BatchNormDims&, const BatchNormChunks<Accumulator<T>>&);     \
  template void batch_norm_backward<F, T>(const T*, const T*, const BatchNormCoefficients<Accumulator<T>>&, \
                                          bool, ProcessGroup*, T*, const BatchNormTable<Accumulator<T>>&,   \
                                          const BatchNormDims&);
#define FOR_EACH_DTYPE(name, F) INSTANTIATE(F, float) INSTANTIATE(F, double) INSTANTIATE(F, bfloat16)
FOVEA_ACTIVATIONS(FOR_EACH_DTYPE)

}  // namespace fovea::cuda
