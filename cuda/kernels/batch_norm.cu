// Batch normalisation over the rows of a matrix, or of each of its segments, and the activation after it
// (arXiv 1502.03167). Bytes moved, in passes over rows * channels * sizeof(T): statistics 1, normalising 2,
// the sums of the backward pass 2, dx 3. Storing g = dy f'(z) between the last two would add a pass.
//
// Each direction takes two launches. The first sums chunks of the rows, and the last block of each tile of
// channels merges the sums into what the second, elementwise launch needs. If a block can hold all rows of
// its channels, each direction is one launch. If the preceding convolution has gathered the statistics, the
// first forward launch only merges them. In evaluation the second launch is the only one.
#include "cuda/kernels/batch_norm.h"

#include <cmath>

#include "cuda/device/grid.h"
#include "cuda/device/last_block.h"
#include "cuda/device/segments.h"
#include "cuda/kernels/activation.h"
#include "cuda/kernels/norm_channels.h"
#include "cuda/runtime/launch.h"
#include "cuda/runtime/memory.h"
#include "cuda/runtime/stream.h"

namespace fovea::cuda {
namespace {

// ---- Forward. Each direction is a struct of its arguments with functions: sum() adds a block's rows to two
// sums per column, of_chunk() makes of a channel's sums what is stored for the chunk, merge() and of_all() do
// the same with what is stored, finish() uses the result, and in a second struct apply() applies it to rows.

// The mean, and the sum of squared distances from it.
template <class T>
struct Statistics {
  using R = Accumulator<T>;
  const T* x;
  bool training;
  BatchNormTable<R> norms;
  BatchNormCoefficients<R> norm;
  BatchNormChunks<R> given;

  // In one pass: with the first row p near the values, nothing cancels in sum (x - mean)^2 = sum (x - p)^2 -
  // (sum (x - p))^2 / n.
  template <int N>
  __device__ void sum(const SegmentPlace<N>& at, R (&sums)[2 * N]) const {
    Pack<T, N> pivot = {};
    if (at.inside) pivot = load_pack<N>(x + at.offset(at.first));
    for_each_row<N, T, 1>(at, {x}, [&](unsigned, const Pack<T, N>(&packs)[1]) {
      UNROLL for (int k = 0; k < N; ++k) {
        const R distance = R(packs[0].value[k]) - R(pivot.value[k]);
        sums[k] += distance;
        sums[N + k] += distance * distance;
      }
    });
  }
  template <int N>
  __device__ void of_chunk(const SegmentPlace<N>& at, int64_t channel, R (&sums)[2]) const {
    constexpr int pair = N > 1 ? 2 : 1;  // two numbers of bfloat16 are a word
    const auto word = load_pack<pair>(x + at.offset(at.first) - at.column + channel / pair * pair);
    const R left = R(word.value[0]), right = R(word.value[pair - 1]);
    from_pivot(channel % pair == 0 ? left : right, R(at.end - at.first), sums);
  }

  template <int Trips, int N>
  __device__ void merge(const Chunks<N, R>& chunks, const SegmentPlace<N>& at, R (&sums)[2 * N]) const {
    Pack<R, N> pivot = {};
    if (at.inside) pivot = load_pack<N>(chunks.first() + at.column);
    chunks.template for_each<Trips>([&](int64_t rows, const Pack<R, N>& mean, const Pack<R, N>& squares) {
      add_chunk<N>(pivot, R(rows), mean, squares, sums);
    });
  }
  template <int N>
  __device__ void of_all(const Chunks<N, R>& chunks, int64_t channel, R (&sums)[2]) const {
    from_pivot(chunks.first()[channel], R(chunks.rows()), sums);
  }

  __device__ void finish(const R (&sums)[2], const R (&)[2], int64_t rows, int segment, int64_t channel,
                         int64_t coefficient) const {
    NormChannel<R>(norms.of[segment], channel)
        .write(sums, rows, norms.epsilon, norms.momentum, norm, coefficient);
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
    apply_with(scale, shift, at);
  }
  template <int N>
  __device__ void apply_with(const Pack<R, N>& scale, const Pack<R, N>& shift,
                             const SegmentPlace<N>& at) const {
    for_each_row<N, T, 1>(at, {this->x}, [&](unsigned index, const Pack<T, N>(&packs)[1]) {
      Pack<T, N> result;
      UNROLL for (int k = 0; k < N; ++k) {
        result.value[k] = T(F::template forward<T>(R(packs[0].value[k]) * scale.value[k] + shift.value[k]));
      }
      store_pack(pack_at<N>(y, index), result);
    });
  }
};

// With the running averages, of which every block makes the coefficients that it needs.
template <class F, class T>
struct Evaluate : Normalize<F, T> {
  using R = Accumulator<T>;

  template <int N>
  __device__ void apply(const SegmentPlace<N>& at) const {
    if (!at.inside) return;
    const BatchNormParameters<R> of = this->norms.of[at.segment];
    const auto weight = load_pack<N>(of.weight + at.column), bias = load_pack<N>(of.bias + at.column);
    const auto mean = load_pack<N>(of.running_mean + at.column),
               variance = load_pack<N>(of.running_variance + at.column);
    Pack<R, N> inverse_std, scale, shift;
    UNROLL for (int k = 0; k < N; ++k) {
      inverse_std.value[k] = R(1) / std::sqrt(variance.value[k] + this->norms.epsilon);
      scale.value[k] = weight.value[k] * inverse_std.value[k];
      shift.value[k] = bias.value[k] - mean.value[k] * scale.value[k];
    }
    if (at.chunk == at.of.first && at.first_line()) {  // for the backward pass
      store_pack(this->norm.scale + at.coefficient(), scale);
      store_pack(this->norm.shift + at.coefficient(), shift);
      store_pack(this->norm.mean + at.coefficient(), mean);
      store_pack(this->norm.inverse_std + at.coefficient(), inverse_std);
    }
    this->apply_with(scale, shift, at);
  }
};

// ---- Backward: norm_channels.h has the formulas.

template <class F, class T>
struct GradientSums {
  using R = Accumulator<T>;
  const T *x, *dy;
  bool training;  // otherwise the statistics carry no gradient
  BatchNormTable<R> gradients;
  BatchNormCoefficients<R> norm;
  BatchNormChunks<R> given;  // none
  // (segments, channels) each, of ChannelGradients
  R *constant, *slope;

  template <int N>
  __device__ void sum(const SegmentPlace<N>& at, R (&sums)[2 * N]) const {
    Pack<R, N> scale = {}, shift = {}, mean = {};
    if (at.inside) {
      scale = load_pack<N>(norm.scale + at.coefficient());
      shift = load_pack<N>(norm.shift + at.coefficient());
      mean = load_pack<N>(norm.mean + at.coefficient());
    }
    for_each_row<N, T, 2>(at, {x, dy}, [&](unsigned, const Pack<T, N>(&packs)[2]) {
      UNROLL for (int k = 0; k < N; ++k) {
        const R value = R(packs[0].value[k]);
        const R g = gradient_of_z<F, T>(value, R(packs[1].value[k]), scale.value[k], shift.value[k]);
        sums[k] += g;
        sums[N + k] += g * (value - mean.value[k]);
      }
    });
  }
  template <int Trips, int N>
  __device__ void merge(const Chunks<N, R>& chunks, const SegmentPlace<N>&, R (&sums)[2 * N]) const {
    chunks.template for_each<Trips>([&](int64_t, const Pack<R, N>& g, const Pack<R, N>& gx) {
      UNROLL for (int k = 0; k < N; ++k) {
        sums[k] += g.value[k];
        sums[N + k] += gx.value[k];
      }
    });
  }
  template <int N>
  __device__ void of_chunk(const SegmentPlace<N>&, int64_t, R (&)[2]) const {}
  template <int N>
  __device__ void of_all(const Chunks<N, R>&, int64_t, R (&)[2]) const {}

  __device__ void finish(const R (&all)[2], const R (&own)[2], int64_t rows, int segment, int64_t channel,
                         int64_t coefficient) const {
    const BatchNormParameters<R> of = gradients.of[segment];
    ChannelGradients<R>{norm, training, constant, slope}.write(all, own, R(rows), coefficient,
                                                               of.weight + channel, of.bias + channel);
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
    for_each_row<N, T, 2>(at, {this->x, this->dy}, [&](unsigned index, const Pack<T, N>(&packs)[2]) {
      Pack<T, N> result;
      UNROLL for (int k = 0; k < N; ++k) {
        result.value[k] = T(gradient_of_x<F, T>(R(packs[0].value[k]), R(packs[1].value[k]), scale.value[k],
                                                shift.value[k], of_mean.value[k], of_variance.value[k]));
      }
      store_pack(pack_at<N>(dx, index), result);
    });
  }
};

// ---- The kernels of both directions

constexpr int sum_threads = 512, slab_threads = 512;  // per block
// Blocks that a multiprocessor should hold: `most` of bfloat16, half as many of types with larger packs.
template <class Pass, int most>
inline constexpr int blocks_held = sizeof(*Pass::x) == 2 ? most : most / 2;

// partial (processes, chunks, 2, channels). Without tickets, finish_chunks does the rest.
template <class Pass, int N>
__global__ void __launch_bounds__(sum_threads, blocks_held<Pass, 2>)
    sum_chunks(Pass pass, typename Pass::R* partial, unsigned* tickets, SegmentGrid grid) {
  using R = typename Pass::R;
  const SegmentPlace<N> at(grid);
  R sums[2 * N] = {};
  pass.sum(at, sums);
  for_each_channel(sums, at, [&](int64_t channel, R(&totals)[2]) {
    pass.of_chunk(at, channel, totals);
    Chunks<N, R>::store(totals, channel, partial, at, grid);
  });
  if (!tickets || !is_last_block(tickets + at.group(grid), unsigned(at.of.count))) return;
  const Chunks<N, R> chunks(partial, 1, at, grid);
  R all[2 * N] = {};
  pass.template merge<8>(chunks, at, all);
  for_each_channel(all, at, [&](int64_t channel, R(&totals)[2]) {
    pass.of_all(chunks, channel, totals);
    pass.finish(totals, totals, at.of.rows, at.segment, channel, at.coefficient(channel));
  });
}

// For chunks that were gathered from several processes. One block per segment and tile.
template <class Pass, int N>
__global__ void finish_chunks(Pass pass, const typename Pass::R* partial, int rank, int processes,
                              SegmentGrid grid) {
  using R = typename Pass::R;
  const SegmentPlace<N> at(grid, grid.of[blockIdx.x / unsigned(grid.tiles)].first);
  const Chunks<N, R> chunks(partial, processes, at, grid);
  const int64_t rows = at.of.rows * processes;
  R all[2 * N] = {}, own[2 * N] = {}, both[4 * N];
  pass.template merge<2>(chunks, at, all);
  pass.template merge<2>(Chunks<N, R>(partial + 2 * rank * grid.chunks * grid.columns, 1, at, grid), at, own);
  UNROLL for (int k = 0; k < 2 * N; ++k) both[k] = all[k], both[2 * N + k] = own[k];
  for_each_channel(both, at, [&](int64_t channel, R(&totals)[4]) {
    R of_all[2] = {totals[0], totals[1]};
    pass.of_all(chunks, channel, of_all);
    pass.finish(of_all, {totals[2], totals[3]}, rows, at.segment, channel, at.coefficient(channel));
  });
}

template <class Pass, int N>
__global__ void __launch_bounds__(plan_for_rows.threads, blocks_held<Pass, 4>)
    apply_chunks(Pass pass, SegmentGrid grid) {
  pass.apply(SegmentPlace<N>(grid));
}

// The coefficients of running averages, one channel per thread.
template <class R>
__global__ void running_coefficients(BatchNormTable<R> norms, BatchNormCoefficients<R> norm,
                                     int64_t channels) {
  for (const int64_t c : grid_stride(channels)) {
    const BatchNormParameters<R>& of = norms.of[0];
    write_coefficients(norm, c, of.running_mean[c], of.running_variance[c], norms.epsilon, of.weight[c],
                       of.bias[c]);
  }
}

// A block has all rows of its channels.
template <class Pass, int N>
__global__ void __launch_bounds__(slab_threads, 1) whole_chunks(Pass pass, SegmentGrid grid) {
  using R = typename Pass::R;
  const SegmentPlace<N> at(grid);
  R sums[2 * N] = {};
  pass.sum(at, sums);
  for_each_channel(sums, at, [&](int64_t channel, R(&totals)[2]) {
    pass.of_chunk(at, channel, totals);
    pass.finish(totals, totals, at.of.rows, at.segment, channel, at.coefficient(channel));
  });
  pass.apply(at);
}

// ---- Launches

// Sums: as many blocks as a large GPU holds at once, for any number of channels; more chunks would mean more
// partial sums for the last block.
constexpr ColumnPlan plan_for_chunks = {264, 4, sum_threads, 64};
// All rows in one block, with 32 bytes of channels per row (a memory sector), if a thread has few rows.
constexpr ColumnPlan plan_for_slabs = {1, int64_t(1) << 40, slab_threads, 4};
constexpr int64_t most_slab_steps = 4;

SegmentGrid grid_of(const BatchNormDims& d, int pack, ColumnPlan plan) {
  return segment_grid(d.images, std::span(d.size, size_t(d.segments)), d.channels, pack, plan);
}

// with_norm_pack() for these dims.
template <class T, class F>
void with_pack(const BatchNormDims& d, F&& f) {
  with_norm_pack<T>(d.images * d.pixels * d.channels, d.channels, f);
}

// The launches before the elementwise one.
template <class T, int N, class Pass>
void run_sums(const Pass& pass, ProcessGroup& group, const BatchNormDims& d) {
  using R = Accumulator<T>;
  using Sums = typename Pass::Sums;
  if constexpr (std::is_same_v<Sums, Statistics<T>> && std::is_same_v<R, float>) {
    if (pass.given.count) return merge_given(pass.given, pass.norms, pass.norm, d);
  }
  const bool alone = group.size() == 1;
  const SegmentGrid grid = grid_of(d, N, plan_for_chunks);
  const size_t shared_bytes = grid.shared_bytes<R>((alone ? 2 : 4) * N);
  const int64_t groups = grid.segments * grid.tiles, size = 2 * grid.partials();
  const Workspace<R> partial(size * group.size());
  launch(sum_chunks<Sums, N>, {grid, shared_bytes}, pass, partial.data() + size * group.rank(),
         alone ? current_stream().tickets(groups) : nullptr, grid);
  if (alone) return;
  group.all_gather_on_device(partial.data(), size_t(size) * sizeof(R));
  launch(finish_chunks<Sums, N>,
         LaunchConfig(dim3(unsigned(groups)), grid.block(), shared_bytes)
             .moves(size * group.size() * int64_t(sizeof(R))),
         pass, partial.data(), group.rank(), group.size(), grid);
}

template <class T, class Pass>
void run(const Pass& pass, ProcessGroup* of, const BatchNormDims& d) {
  using R = Accumulator<T>;
  static_assert(BatchNormDims::max_segments == max_segments);
  ProcessGroup& group = of && pass.training ? *of : single_process();
  with_pack<T>(d, [&]<int N>() {
    if (const SegmentGrid slabs = grid_of(d, N, plan_for_slabs);
        group.size() == 1 && !pass.given.count && slabs.steps() <= most_slab_steps)
      return launch(whole_chunks<Pass, N>, {slabs, slabs.shared_bytes<R>(2 * N)}, pass, slabs);
    run_sums<T, N>(pass, group, d);
    const SegmentGrid elements = grid_of(d, N, plan_for_rows);
    launch(apply_chunks<Pass, N>, {elements}, pass, elements);
  });
}

}  // namespace

template <class F, class T>
void batch_norm_forward(const T* x, const BatchNormTable<Accumulator<T>>& norms, bool training,
                        ProcessGroup* group, const BatchNormCoefficients<Accumulator<T>>& coefficients, T* y,
                        const BatchNormDims& d, const BatchNormChunks<Accumulator<T>>& given) {
  Normalize<F, T> pass{{x, training, norms, coefficients, given}, y};
  if (!training)
    return with_pack<T>(d, [&]<int N>() {
      const SegmentGrid rows = grid_of(d, N, plan_for_rows);
      launch(apply_chunks<Evaluate<F, T>, N>, {rows}, Evaluate<F, T>{pass}, rows);
    });
  if (group && group->size() > 1) pass.given = {};  // the other processes' statistics are unknown
  run<T>(pass, group, d);
}

template <class T>
void batch_norm_coefficients(const T* x, const BatchNormTable<Accumulator<T>>& norms, bool training,
                             const BatchNormCoefficients<Accumulator<T>>& coefficients,
                             const BatchNormDims& d, const BatchNormChunks<Accumulator<T>>& given) {
  if (!training)
    return launch(running_coefficients<Accumulator<T>>, {grid_for(d.channels), block_threads}, norms,
                  coefficients, d.channels);
  const Normalize<Identity, T> pass{{x, training, norms, coefficients, given}, nullptr};
  with_pack<T>(d, [&]<int N>() { run_sums<T, N>(pass, single_process(), d); });
}

bool batch_norm_is_one_launch(const BatchNormDims& d, int bytes) {
  return grid_of(d, norm_pack(bytes), plan_for_slabs).steps() <= most_slab_steps;
}

template <class F, class T>
void batch_norm_backward(const T* x, const T* dy, const BatchNormCoefficients<Accumulator<T>>& norm,
                         bool training, ProcessGroup* group, T* dx,
                         const BatchNormTable<Accumulator<T>>& gradients, const BatchNormDims& d) {
  const Workspace<Accumulator<T>> constant(d.segments * d.channels), slope(d.segments * d.channels);
  run<T>(Gradient<F, T>{{x, dy, training, gradients, norm, {}, constant.data(), slope.data()}, dx}, group, d);
}

template <class F, class T>
void batch_norm_gradient_sums(const T* x, const T* dy, const BatchNormCoefficients<Accumulator<T>>& norm,
                              bool training, ProcessGroup* group, Accumulator<T>* constant,
                              Accumulator<T>* slope, const BatchNormTable<Accumulator<T>>& gradients,
                              const BatchNormDims& d) {
  const Gradient<F, T> pass{{x, dy, training, gradients, norm, {}, constant, slope}, nullptr};
  with_pack<T>(d, [&]<int N>() { run_sums<T, N>(pass, group && training ? *group : single_process(), d); });
}

#define INSTANTIATE(F, T)                                                                                   \
  template void batch_norm_forward<F, T>(const T*, const BatchNormTable<Accumulator<T>>&, bool,             \
                                         ProcessGroup*, const BatchNormCoefficients<Accumulator<T>>&, T*,   \
                                         const BatchNormDims&, const BatchNormChunks<Accumulator<T>>&);     \
  template void batch_norm_backward<F, T>(const T*, const T*, const BatchNormCoefficients<Accumulator<T>>&, \
                                          bool, ProcessGroup*, T*, const BatchNormTable<Accumulator<T>>&,   \
                                          const BatchNormDims&);                                            \
  template void batch_norm_gradient_sums<F, T>(                                                             \
      const T*, const T*, const BatchNormCoefficients<Accumulator<T>>&, bool, ProcessGroup*,                \
      Accumulator<T>*, Accumulator<T>*, const BatchNormTable<Accumulator<T>>&, const BatchNormDims&);
#define FOR_EACH_DTYPE(name, F) INSTANTIATE(F, float) INSTANTIATE(F, double) INSTANTIATE(F, bfloat16)
FOVEA_ACTIVATIONS(FOR_EACH_DTYPE)
#undef INSTANTIATE

#define INSTANTIATE(T)                                                                            \
  template void batch_norm_coefficients<T>(const T*, const BatchNormTable<Accumulator<T>>&, bool, \
                                           const BatchNormCoefficients<Accumulator<T>>&,          \
                                           const BatchNormDims&, const BatchNormChunks<Accumulator<T>>&);
INSTANTIATE(float)
INSTANTIATE(double)
INSTANTIATE(bfloat16)

}  // namespace fovea::cuda
