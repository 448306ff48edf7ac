// Batch norm, swish, squeeze and excite as one op (batch_norm_squeeze_excite.h). Bytes moved, in passes over
// batch * pixels * channels numbers of sizeof(T), without the statistics of batch norm: forward 3 (the means
// 1, the result 2), backward 5 (the sums 2, dx 3). As two ops it is 5 and 9.
#include "cuda/kernels/batch_norm_squeeze_excite.h"

#include "cuda/device/columns.h"
#include "cuda/kernels/activation.h"
#include "cuda/kernels/norm_channels.h"
#include "cuda/runtime/launch.h"
#include "cuda/runtime/memory.h"

namespace fovea::cuda {
namespace {

// Sums: as many blocks as a large GPU holds at once.
constexpr ColumnPlan plan_for_swish_sums = {528, 4, plan_for_rows.threads, 64};

// z = x scale + shift in a thread's N channels.
template <class R, int N>
struct Affine {
  Pack<R, N> scale = {}, shift = {};

  __device__ Affine(const BatchNormCoefficients<R>& norm, const ColumnPlace<N>& at) {
    if (!at.inside) return;
    scale = load_pack<N>(norm.scale + at.column);
    shift = load_pack<N>(norm.shift + at.column);
  }
  __device__ R operator()(R x, int k) const { return x * scale.value[k] + shift.value[k]; }
};

// partial (batch, chunks, channels) = the sums of swish(z) over a chunk of pixels.
template <class T, int N>
__global__ void __launch_bounds__(plan_for_rows.threads)
    swish_sums_chunks(const T* x, BatchNormCoefficients<Accumulator<T>> norm, Accumulator<T>* partial,
                      ColumnGrid grid) {
  using R = Accumulator<T>;
  const ColumnPlace<N> at(grid);
  const Affine<R, N> z(norm, at);
  R sum[N] = {};
  for_each_row<N, T, 1>(at, {x}, [&](unsigned, const Pack<T, N>(&packs)[1]) {
    UNROLL for (int k = 0; k < N; ++k) { sum[k] += Swish::forward<T>(z(R(packs[0].value[k]), k)); }
  });
  block_column_sum(sum);
  if (at.first_line()) store_rounded<N>(partial + at.partial(grid), sum);
}

// y = swish(z) gate, with a gate for each channel of each image.
template <class T, int N>
__global__ void __launch_bounds__(plan_for_rows.threads)
    swish_scale_chunks(const T* x, BatchNormCoefficients<Accumulator<T>> norm, const Accumulator<T>* gate,
                       T* y, ColumnGrid grid) {
  using R = Accumulator<T>;
  const ColumnPlace<N> at(grid);
  if (!at.inside) return;
  const Affine<R, N> z(norm, at);
  const auto factor = load_pack<N>(gate + at.matrix * grid.columns + at.column);
  for_each_row<N, T, 1>(at, {x}, [&](unsigned index, const Pack<T, N>(&packs)[1]) {
    Pack<T, N> result;
    UNROLL for (int k = 0; k < N; ++k) {
      result.value[k] = T(Swish::forward<T>(z(R(packs[0].value[k]), k)) * factor.value[k]);
    }
    store_pack(pack_at<N>(y, index), result);
  });
}

// What is summed over the pixels of a chunk, each (batch, chunks, channels).
template <class R>
struct GradientSums {
  R* gated;               // dy swish(z), for the gradient of the gate
  R *direct, *means;      // dy swish'(z) and swish'(z), for sum g
  R *direct_x, *means_x;  // the same times x - mean
};

template <class T, int N>
__global__ void __launch_bounds__(plan_for_rows.threads)
    gated_gradient_sums_chunks(const T* x, const T* dy, BatchNormCoefficients<Accumulator<T>> norm,
                               GradientSums<Accumulator<T>> partial, ColumnGrid grid) {
  using R = Accumulator<T>;
  const ColumnPlace<N> at(grid);
  const Affine<R, N> z(norm, at);
  Pack<R, N> mean = {};
  if (at.inside) mean = load_pack<N>(norm.mean + at.column);
  R sums[5 * N] = {};
  for_each_row<N, T, 2>(at, {x, dy}, [&](unsigned, const Pack<T, N>(&packs)[2]) {
    UNROLL for (int k = 0; k < N; ++k) {
      const R value = R(packs[0].value[k]), gradient = R(packs[1].value[k]),
              from_mean = value - mean.value[k];
      const R of_z = z(value, k), derivative = Swish::derivative<T>(of_z), direct = gradient * derivative;
      sums[k] += gradient * Swish::forward<T>(of_z);
      sums[N + k] += direct;
      sums[2 * N + k] += derivative;
      sums[3 * N + k] += direct * from_mean;
      sums[4 * N + k] += derivative * from_mean;
    }
  });
  R* const to[5] = {partial.gated, partial.direct, partial.means, partial.direct_x, partial.means_x};
  block_column_sum(sums);
  if (!at.first_line()) return;
  UNROLL for (int i = 0; i < 5; ++i) { store_rounded<N>(to[i] + at.partial(grid), sums + i * N); }
}

// Adds up sum g and sum g (x - mean) over all images, and writes the gradients that follow. A block has 8
// channels, a thread one of them and every lines-th chunk.
constexpr int finish_channels = 8, finish_lines = 64;
template <class R>
__global__ void __launch_bounds__(finish_channels* finish_lines)
    finish_gated_gradient(GradientSums<R> partial, int images, int chunks, int channels, const R* gate,
                          const R* through_means, R rows, BatchNormParameters<R> parameters,
                          ChannelGradients<R> gradients) {
  const int c = int(blockIdx.x) * finish_channels + int(threadIdx.x);
  const bool inside = c < channels;
  R sums[2] = {};
  UNROLL_BY_4 for (int i = inside ? int(threadIdx.y) : images * chunks; i < images * chunks;
                   i += finish_lines) {
    EXPECT_TRIPS(8);
    const int64_t of_chunk = int64_t(i) * channels + c, of_image = int64_t(i / chunks) * channels + c;
    const R factor = gate[of_image], addend = through_means[of_image];
    sums[0] += factor * partial.direct[of_chunk] + addend * partial.means[of_chunk];
    sums[1] += factor * partial.direct_x[of_chunk] + addend * partial.means_x[of_chunk];
  }
  block_column_sum(sums);
  if (!inside || threadIdx.y > 0) return;
  gradients.write(sums, sums, rows, c, parameters.weight + c, parameters.bias + c);
}

template <class T, int N>
__global__ void __launch_bounds__(plan_for_rows.threads)
    gated_gradient_chunks(const T* x, const T* dy, BatchNormCoefficients<Accumulator<T>> norm,
                          const Accumulator<T>* constant, const Accumulator<T>* slope,
                          const Accumulator<T>* gate, const Accumulator<T>* through_means, T* dx,
                          ColumnGrid grid) {
  using R = Accumulator<T>;
  const ColumnPlace<N> at(grid);
  if (!at.inside) return;
  const Affine<R, N> z(norm, at);
  const auto u = load_pack<N>(constant + at.column), v = load_pack<N>(slope + at.column);
  const int64_t of_image = at.matrix * grid.columns + at.column;
  const auto factor = load_pack<N>(gate + of_image), addend = load_pack<N>(through_means + of_image);
  for_each_row<N, T, 2>(at, {x, dy}, [&](unsigned index, const Pack<T, N>(&packs)[2]) {
    Pack<T, N> result;
    UNROLL for (int k = 0; k < N; ++k) {
      const R value = R(packs[0].value[k]);
      const R g =
          (R(packs[1].value[k]) * factor.value[k] + addend.value[k]) * Swish::derivative<T>(z(value, k));
      result.value[k] = T(z.scale.value[k] * g - u.value[k] - value * v.value[k]);
    }
    store_pack(pack_at<N>(dx, index), result);
  });
}

// with_norm_pack() for these sizes.
template <class T, class F>
void with_pack(const SqueezeExcite<Accumulator<T>>& se, F&& f) {
  with_norm_pack<T>(se.batch * se.pixels * se.channels, se.channels, f);
}

// A step of for_each_row() is row_depth rows.
LaunchConfig config_of(const ColumnGrid& grid, size_t shared_bytes = 0) {
  LaunchConfig config(grid, shared_bytes);
  config.steps = (grid.steps() + row_depth - 1) / row_depth;
  return config;
}

template <class R>
ColumnGrid grid_of(const SqueezeExcite<R>& se, int pack, ColumnPlan plan) {
  return column_grid(se.batch, se.pixels, se.channels, pack, plan);
}

}  // namespace

template <class T>
void batch_norm_squeeze_excite(const T* x, const BatchNormTable<Accumulator<T>>& norms, bool training,
                               const BatchNormCoefficients<Accumulator<T>>& norm,
                               const BatchNormChunks<Accumulator<T>>& given, T* y,
                               const SqueezeExcite<Accumulator<T>>& se) {
  using R = Accumulator<T>;
  batch_norm_coefficients(x, norms, training, norm,
                          BatchNormDims::of_matrix(se.batch * se.pixels, se.channels), given);
  with_pack<T>(se, [&]<int N>() {
    const ColumnGrid sums = grid_of(se, N, plan_for_swish_sums);
    const Workspace<R> partial(sums.partials());
    launch(swish_sums_chunks<T, N>, config_of(sums, sums.shared_bytes<R>(N)), x, norm, partial.data(), sums);
    squeeze_excite_gate<R>(partial.data(), sums.chunks, se);
    const ColumnGrid grid = grid_of(se, N, plan_for_rows);
    launch(swish_scale_chunks<T, N>, config_of(grid), x, norm, se.gate, y, grid);
  });
}

template <class T>
void batch_norm_squeeze_excite_backward(const T* x, const T* dy,
                                        const BatchNormCoefficients<Accumulator<T>>& norm, bool training,
                                        T* dx, const BatchNormParameters<Accumulator<T>>& norm_gradients,
                                        const SqueezeExcite<Accumulator<T>>& se,
                                        const SqueezeExciteGradients<Accumulator<T>>& gradients) {
  using R = Accumulator<T>;
  const Workspace<R> through_means(se.batch * se.channels), constant(se.channels), slope(se.channels);
  with_pack<T>(se, [&]<int N>() {
    const ColumnGrid sums = grid_of(se, N, plan_for_swish_sums);
    const int64_t size = sums.partials();
    const Workspace<R> partial(5 * size);
    R* const first = partial.data();
    const GradientSums<R> of_chunks{first, first + size, first + 2 * size, first + 3 * size,
                                    first + 4 * size};
    launch(gated_gradient_sums_chunks<T, N>, config_of(sums, sums.shared_bytes<R>(5 * N)), x, dy, norm,
           of_chunks, sums);
    squeeze_excite_layer_gradients<R>(of_chunks.gated, sums.chunks, se, gradients, through_means.data());
    launch(finish_gated_gradient<R>,
           LaunchConfig(dim3(unsigned((se.channels + finish_channels - 1) / finish_channels)),
                        dim3(finish_channels, finish_lines), finish_channels * finish_lines * 2 * sizeof(R))
               .moves(4 * size * int64_t(sizeof(R))),
           of_chunks, int(se.batch), int(sums.chunks), int(se.channels), se.gate, through_means.data(),
           R(se.batch * se.pixels), norm_gradients,
           ChannelGradients<R>{norm, training, constant.data(), slope.data()});
    const ColumnGrid grid = grid_of(se, N, plan_for_rows);
    launch(gated_gradient_chunks<T, N>, config_of(grid), x, dy, norm, constant.data(), slope.data(), se.gate,
           through_means.data(), dx, grid);
  });
}

#define INSTANTIATE(T)                                                                                     \
  template void batch_norm_squeeze_excite<T>(                                                              \
      const T*, const BatchNormTable<Accumulator<T>>&, bool, const BatchNormCoefficients<Accumulator<T>>&, \
      const BatchNormChunks<Accumulator<T>>&, T*, const SqueezeExcite<Accumulator<T>>&);                   \
  template void batch_norm_squeeze_excite_backward<T>(                                                     \
      const T*, const T*, const BatchNormCoefficients<Accumulator<T>>&, bool, T*,                          \
      const BatchNormParameters<Accumulator<T>>&, const SqueezeExcite<Accumulator<T>>&,                    \
      const SqueezeExciteGradients<Accumulator<T>>&);
INSTANTIATE(float)
INSTANTIATE(double)
INSTANTIATE(bfloat16)

}  // namespace fovea::cuda
