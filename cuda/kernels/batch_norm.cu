// Batch normalisation over the rows of a rows x channels matrix, with the activation that follows it (arXiv
// 1502.03167). Bytes moved, in passes over rows * channels * sizeof(T): statistics 1, normalising 2, the sums
// of the backward pass 2, dx 3. Storing g = dy f'(z) between the last two would cost a pass more.
#include "cuda/kernels/batch_norm.h"

#include <cmath>

#include "cuda/device/columns.h"
#include "cuda/device/grid.h"
#include "cuda/kernels/activation.h"
#include "cuda/runtime/launch.h"
#include "cuda/runtime/memory.h"

namespace fovea::cuda {
namespace {

// Where several processes train together, the sums are over the rows of all: partial (processes, chunks, 2,
// channels) below holds one part of each process. Alone it is the only one.
struct PartialOfProcesses {
  int64_t rows, chunk_rows, chunks;  // of a process; all have as many
  int64_t rank, processes;
};

// ---- Statistics. partial (chunks, 2, channels): the mean of a chunk and its squared distances from it,
// added.

// One thread one channel, all rows: the definition.
template <class T>
__global__ void statistics_naive(const T* x, Accumulator<T>* partial, BatchNormDims d) {
  for (int64_t c : grid_stride(d.channels)) {
    double mean = 0, squares = 0;
    for (int64_t row = 0; row < d.rows; ++row) mean += double(Accumulator<T>(x[row * d.channels + c]));
    mean /= double(d.rows);
    for (int64_t row = 0; row < d.rows; ++row) {
      const double distance = double(Accumulator<T>(x[row * d.channels + c])) - mean;
      squares += distance * distance;
    }
    partial[c] = Accumulator<T>(mean);
    partial[d.channels + c] = Accumulator<T>(squares);
  }
}

// In one pass: with p, the chunk's first row, near the values, nothing cancels in
// sum (x - mean)^2 = sum (x - p)^2 - (sum (x - p))^2 / n.
template <class T, int N>
__global__ void statistics_chunks(const T* x, Accumulator<T>* partial, ColumnGrid grid) {
  using R = Accumulator<T>;
  const ColumnPlace<N> at(grid);
  const int64_t first = at.chunk * grid.chunk_rows;
  Pack<T, N> pivot = {};
  if (at.inside) pivot = load_pack<N>(x + at.offset(first));
  R sums[2 * N] = {};
  for (int64_t row = at.begin; row < at.end; row += blockDim.y) {
    const Pack<T, N> pack = load_pack<N>(x + at.offset(row));
    for (int k = 0; k < N; ++k) {
      const R distance = R(pack.value[k]) - R(pivot.value[k]);
      sums[k] += distance;
      sums[N + k] += distance * distance;
    }
  }
  block_column_sum(sums);
  if (!at.first_line()) return;
  R* to = partial + 2 * at.chunk * grid.columns + at.column;
  const R n = R(at.end - first);
  for (int k = 0; k < N; ++k) {
    sums[N + k] -= sums[k] * sums[k] / n;
    sums[k] = R(pivot.value[k]) + sums[k] / n;
  }
  store_rounded<N>(to, sums);
  store_rounded<N>(to + grid.columns, sums + N);
}

template <class R>
__device__ void write_coefficients(const BatchNormCoefficients<R>& to, int64_t c, R mean, R variance,
                                   R weight, R bias, R epsilon) {
  const R inverse_std = R(1) / std::sqrt(variance + epsilon), scale = weight * inverse_std;
  to.scale[c] = scale;
  to.shift[c] = bias - mean * scale;
  to.mean[c] = mean;
  to.inverse_std[c] = inverse_std;
}

template <class R>
struct NormParameters {
  const R *weight, *bias;
  R *running_mean, *running_variance;
  R epsilon, momentum;
};

// Merges the chunks of all processes, the rows of `grid`, as Chan, Golub and LeVeque do, all at once: with
// the common mean known, squares = sum over chunks of squares + n (mean - common mean)^2. The mean is summed
// as distances from the first chunk's, which keeps its digits without arithmetic in double: GPUs made for
// games do that at 1/64 of the rate.
template <class R>
__global__ void coefficients_from_chunks(const R* partial, NormParameters<R> parameters,
                                         BatchNormCoefficients<R> to, PartialOfProcesses of,
                                         ColumnGrid grid) {
  __shared__ R common_mean[plan_for_partials.columns];
  const ColumnPlace<1> at(grid);
  const R pivot = at.inside ? partial[at.column] : R(0);
  R mean[1] = {}, squares[1] = {};
  const int64_t rows = of.rows * of.processes;
  const auto rows_of = [&](int64_t chunk) {
    const int64_t left = of.rows - chunk % of.chunks * of.chunk_rows;
    return R(left < of.chunk_rows ? left : of.chunk_rows);
  };
  for (int64_t i = at.begin; i < at.end; i += blockDim.y)
    mean[0] += rows_of(i) * (partial[2 * i * grid.columns + at.column] - pivot);
  block_column_sum(mean);
  if (threadIdx.y == 0) common_mean[threadIdx.x] = pivot + mean[0] / R(rows);
  __syncthreads();
  mean[0] = common_mean[threadIdx.x];
  for (int64_t i = at.begin; i < at.end; i += blockDim.y) {
    const R distance = partial[2 * i * grid.columns + at.column] - mean[0];
    squares[0] += partial[(2 * i + 1) * grid.columns + at.column] + rows_of(i) * distance * distance;
  }
  block_column_sum(squares);
  if (!at.first_line()) return;
  const int64_t c = at.column;
  R variance = squares[0] / R(rows);
  if (variance < 0) variance = 0;  // by rounding; a NaN stays
  write_coefficients(to, c, mean[0], variance, parameters.weight[c], parameters.bias[c], parameters.epsilon);
  if (!parameters.running_mean) return;
  const R unbiased = rows > 1 ? R(rows) / R(rows - 1) : R(1), keep = 1 - parameters.momentum;
  R *running_mean = parameters.running_mean + c, *running_variance = parameters.running_variance + c;
  *running_mean = keep * *running_mean + parameters.momentum * mean[0];
  *running_variance = keep * *running_variance + parameters.momentum * unbiased * variance;
}

template <class R>
__global__ void coefficients_from_running(NormParameters<R> from, BatchNormCoefficients<R> to,
                                          int64_t channels) {
  for (int64_t c : grid_stride(channels))
    write_coefficients(to, c, from.running_mean[c], from.running_variance[c], from.weight[c], from.bias[c],
                       from.epsilon);
}

// ---- Normalising

template <class F, class T>
__global__ void normalize_naive(const T* x, const Accumulator<T>* scale, const Accumulator<T>* shift, T* y,
                                BatchNormDims d) {
  for (int64_t i : grid_stride(d.rows * d.channels)) {
    const int64_t c = i % d.channels;
    y[i] = T(F::forward(Accumulator<T>(x[i]) * scale[c] + shift[c]));
  }
}

// A thread keeps the coefficients of its 16 bytes of channels and walks down the rows.
template <class F, class T>
__global__ void normalize_packed(const T* x, const Accumulator<T>* scale, const Accumulator<T>* shift, T* y,
                                 ColumnGrid grid) {
  constexpr int size = pack_size<T>;
  const ColumnPlace<size> at(grid);
  if (!at.inside) return;
  const auto a = load_pack<size>(scale + at.column), b = load_pack<size>(shift + at.column);
  for (int64_t row = at.begin; row < at.end; row += blockDim.y) {
    Pack<T, size> pack = load_pack<size>(x + at.offset(row));
    for (int k = 0; k < size; ++k)
      pack.value[k] = T(F::forward(Accumulator<T>(pack.value[k]) * a.value[k] + b.value[k]));
    store_pack(y + at.offset(row), pack);
  }
}

// ---- Gradient. With z = x * scale + shift and g = dy f'(z), dbias = sum g and dweight = sum g (x - mean)
// inverse_std.

template <class F, class R>
__device__ R gradient_of_z(R x, R dy, R scale, R shift) {
  return dy * F::derivative(x * scale + shift);
}

// partial (1, 2, channels): one thread one channel, all rows.
template <class F, class T>
__global__ void sums_naive(const T* x, const T* dy, BatchNormCoefficients<Accumulator<T>> norm,
                           Accumulator<T>* partial, BatchNormDims d) {
  using R = Accumulator<T>;
  for (int64_t c : grid_stride(d.channels)) {
    double sum_g = 0, sum_gx = 0;
    for (int64_t row = 0; row < d.rows; ++row) {
      const R value = R(x[row * d.channels + c]);
      const R g = gradient_of_z<F>(value, R(dy[row * d.channels + c]), norm.scale[c], norm.shift[c]);
      sum_g += double(g);
      sum_gx += double(g * (value - norm.mean[c]));
    }
    partial[c] = R(sum_g);
    partial[d.channels + c] = R(sum_gx);
  }
}

// partial (chunks, 2, channels)
template <class F, class T, int N>
__global__ void sums_chunks(const T* x, const T* dy, BatchNormCoefficients<Accumulator<T>> norm,
                            Accumulator<T>* partial, ColumnGrid grid) {
  using R = Accumulator<T>;
  const ColumnPlace<N> at(grid);
  Pack<R, N> scale = {}, shift = {}, mean = {};
  if (at.inside) {
    scale = load_pack<N>(norm.scale + at.column);
    shift = load_pack<N>(norm.shift + at.column);
    mean = load_pack<N>(norm.mean + at.column);
  }
  R sums[2 * N] = {};
  for (int64_t row = at.begin; row < at.end; row += blockDim.y) {
    const Pack<T, N> value = load_pack<N>(x + at.offset(row)), gradient = load_pack<N>(dy + at.offset(row));
    for (int k = 0; k < N; ++k) {
      const R v = R(value.value[k]);
      const R g = gradient_of_z<F>(v, R(gradient.value[k]), scale.value[k], shift.value[k]);
      sums[k] += g;
      sums[N + k] += g * (v - mean.value[k]);
    }
  }
  block_column_sum(sums);
  if (!at.first_line()) return;
  R* to = partial + 2 * at.chunk * grid.columns + at.column;
  store_rounded<N>(to, sums);
  store_rounded<N>(to + grid.columns, sums + N);
}

// What dx = scale * g - constant - x * slope needs: the terms of mean and variance (arXiv 1502.03167, section
// 3), 0 where these are running averages.
template <class R>
struct StatisticsGradient {
  R *constant, *slope;  // (channels) each
};

// Adds up the chunks, the rows of `grid`: those of all processes for what the statistics carry, this
// process's own for the parameters, whose gradients are added later.
template <class R>
__global__ void gradients_from_chunks(const R* partial, BatchNormCoefficients<R> norm, bool batch_statistics,
                                      R* dweight, R* dbias, StatisticsGradient<R> to, PartialOfProcesses of,
                                      ColumnGrid grid) {
  const ColumnPlace<1> at(grid);
  R sums[4] = {};  // of all, of all, own, own
  for (int64_t i = at.begin; i < at.end; i += blockDim.y) {
    const bool own = i / of.chunks == of.rank;
    for (int k = 0; k < 2; ++k) {
      const R value = partial[(2 * i + k) * grid.columns + at.column];
      sums[k] += value;
      if (own) sums[2 + k] += value;
    }
  }
  block_column_sum(sums);
  if (!at.first_line()) return;
  const int64_t c = at.column, rows = of.rows * of.processes;
  const R scale = norm.scale[c], inverse_std = norm.inverse_std[c];
  dbias[c] = sums[2];
  dweight[c] = sums[3] * inverse_std;
  const R slope = batch_statistics ? scale * inverse_std * inverse_std * sums[1] / R(rows) : R(0);
  to.slope[c] = slope;
  to.constant[c] = batch_statistics ? scale * sums[0] / R(rows) - slope * norm.mean[c] : R(0);
}

template <class F, class T>
__global__ void backward_naive(const T* x, const T* dy, BatchNormCoefficients<Accumulator<T>> norm,
                               StatisticsGradient<Accumulator<T>> statistics, T* dx, BatchNormDims d) {
  using R = Accumulator<T>;
  for (int64_t i : grid_stride(d.rows * d.channels)) {
    const int64_t c = i % d.channels;
    const R g = gradient_of_z<F>(R(x[i]), R(dy[i]), norm.scale[c], norm.shift[c]);
    dx[i] = T(norm.scale[c] * g - statistics.constant[c] - R(x[i]) * statistics.slope[c]);
  }
}

template <class F, class T>
__global__ void backward_packed(const T* x, const T* dy, BatchNormCoefficients<Accumulator<T>> norm,
                                StatisticsGradient<Accumulator<T>> statistics, T* dx, ColumnGrid grid) {
  using R = Accumulator<T>;
  constexpr int size = pack_size<T>;
  const ColumnPlace<size> at(grid);
  if (!at.inside) return;
  const auto scale = load_pack<size>(norm.scale + at.column), shift = load_pack<size>(norm.shift + at.column);
  const auto constant = load_pack<size>(statistics.constant + at.column);
  const auto slope = load_pack<size>(statistics.slope + at.column);
  for (int64_t row = at.begin; row < at.end; row += blockDim.y) {
    const Pack<T, size> value = load_pack<size>(x + at.offset(row));
    Pack<T, size> gradient = load_pack<size>(dy + at.offset(row));
    for (int k = 0; k < size; ++k) {
      const R v = R(value.value[k]);
      const R g = gradient_of_z<F>(v, R(gradient.value[k]), scale.value[k], shift.value[k]);
      gradient.value[k] = T(scale.value[k] * g - constant.value[k] - v * slope.value[k]);
    }
    store_pack(dx + at.offset(row), gradient);
  }
}

// Where this process writes its part, and the others' parts behind.
template <class R>
class SharedPartial {
 public:
  SharedPartial(BatchNormDims d, const ColumnGrid& grid, ProcessGroup* group)
      : group_(group ? *group : single_process()),
        of_{d.rows, grid.chunk_rows, grid.chunks, group_.rank(), group_.size()},
        size_(2 * grid.partials()),
        all_(size_ * of_.processes) {}
  R* own() const { return all_.data() + size_ * of_.rank; }
  const R* gather() const {
    group_.all_gather_on_device(all_.data(), size_t(size_) * sizeof(R));
    return all_.data();
  }
  const PartialOfProcesses& of() const { return of_; }
  ColumnGrid grid(int64_t channels) const {
    return column_grid(1, of_.chunks * of_.processes, channels, 1, plan_for_partials);
  }

 private:
  ProcessGroup& group_;
  PartialOfProcesses of_;
  int64_t size_;
  Workspace<R> all_;
};

}  // namespace

template <class T>
void batch_norm_coefficients(const T* x, const Accumulator<T>* weight, const Accumulator<T>* bias,
                             Accumulator<T>* running_mean, Accumulator<T>* running_variance, double epsilon,
                             double momentum, ProcessGroup* group,
                             const BatchNormCoefficients<Accumulator<T>>& coefficients, BatchNormDims d) {
  using R = Accumulator<T>;
  const NormParameters<R> parameters{weight, bias, running_mean, running_variance, R(epsilon), R(momentum)};
  with_column_pack<T>(d.channels, [&]<int N>() {
    const ColumnGrid grid = column_grid(1, d.rows, d.channels, N, plan_for_sums);
    const SharedPartial<R> partial(d, grid, group);
    if (d.rows <= few_rows)
      launch(statistics_naive<T>, {grid_for(d.channels), block_threads}, x, partial.own(), d);
    else
      launch(statistics_chunks<T, N>, {grid, grid.shared_bytes<R>(2 * N)}, x, partial.own(), grid);
    const ColumnGrid last = partial.grid(d.channels);
    launch(coefficients_from_chunks<R>, {last, last.shared_bytes<R>(1)}, partial.gather(), parameters,
           coefficients, partial.of(), last);
  });
}

template <class R>
void batch_norm_running_coefficients(const R* weight, const R* bias, const R* running_mean,
                                     const R* running_variance, double epsilon,
                                     const BatchNormCoefficients<R>& coefficients, int64_t channels) {
  launch(coefficients_from_running<R>, {grid_for(channels), block_threads},
         NormParameters<R>{weight, bias, const_cast<R*>(running_mean), const_cast<R*>(running_variance),
                           R(epsilon), 0},
         coefficients, channels);
}

template <class F, class T>
void batch_norm_normalize(const T* x, const Accumulator<T>* scale, const Accumulator<T>* shift, T* y,
                          BatchNormDims d) {
  if (packs_fit<T>(d.channels)) {
    const ColumnGrid grid = column_grid(1, d.rows, d.channels, pack_size<T>, plan_for_elements);
    launch(normalize_packed<F, T>, {grid}, x, scale, shift, y, grid);
  } else {
    launch(normalize_naive<F, T>, {grid_for(d.rows * d.channels), block_threads}, x, scale, shift, y, d);
  }
}

template <class F, class T>
void batch_norm_backward(const T* x, const T* dy, const BatchNormCoefficients<Accumulator<T>>& norm,
                         bool batch_statistics, ProcessGroup* group, T* dx, Accumulator<T>* dweight,
                         Accumulator<T>* dbias, BatchNormDims d) {
  using R = Accumulator<T>;
  const Workspace<R> constant(d.channels), slope(d.channels);
  const StatisticsGradient<R> statistics{constant.data(), slope.data()};
  with_column_pack<T>(d.channels, [&]<int N>() {
    const ColumnGrid grid = column_grid(1, d.rows, d.channels, N, plan_for_sums);
    const SharedPartial<R> partial(d, grid, batch_statistics ? group : nullptr);
    if (d.rows <= few_rows)
      launch(sums_naive<F, T>, {grid_for(d.channels), block_threads}, x, dy, norm, partial.own(), d);
    else
      launch(sums_chunks<F, T, N>, {grid, grid.shared_bytes<R>(2 * N)}, x, dy, norm, partial.own(), grid);
    const ColumnGrid last = partial.grid(d.channels);
    launch(gradients_from_chunks<R>, {last, last.shared_bytes<R>(4)}, partial.gather(), norm,
           batch_statistics, dweight, dbias, statistics, partial.of(), last);
  });
  if (packs_fit<T>(d.channels)) {
    const ColumnGrid grid = column_grid(1, d.rows, d.channels, pack_size<T>, plan_for_elements);
    launch(backward_packed<F, T>, {grid}, x, dy, norm, statistics, dx, grid);
  } else {
    launch(backward_naive<F, T>, {grid_for(d.rows * d.channels), block_threads}, x, dy, norm, statistics, dx,
           d);
  }
}

#define INSTANTIATE(F, T)                                                                                   \
  template void batch_norm_normalize<F, T>(const T*, const Accumulator<T>*, const Accumulator<T>*, T*,      \
                                           BatchNormDims);                                                  \
  template void batch_norm_backward<F, T>(const T*, const T*, const BatchNormCoefficients<Accumulator<T>>&, \
                                          bool, ProcessGroup*, T*, Accumulator<T>*, Accumulator<T>*,        \
                                          BatchNormDims);
#define FOR_EACH_DTYPE(name, F) INSTANTIATE(F, float) INSTANTIATE(F, double) INSTANTIATE(F, bfloat16)
FOVEA_ACTIVATIONS(FOR_EACH_DTYPE)
#define COEFFICIENTS(T)                                                                                     \
  template void batch_norm_coefficients<T>(const T*, const Accumulator<T>*, const Accumulator<T>*,          \
                                           Accumulator<T>*, Accumulator<T>*, double, double, ProcessGroup*, \
                                           const BatchNormCoefficients<Accumulator<T>>&, BatchNormDims);
COEFFICIENTS(float)
COEFFICIENTS(double)
COEFFICIENTS(bfloat16)
template void batch_norm_running_coefficients<float>(const float*, const float*, const float*, const float*,
                                                     double, const BatchNormCoefficients<float>&, int64_t);
template void batch_norm_running_coefficients<double>(const double*, const double*, const double*,
                                                      const double*, double,
                                                      const BatchNormCoefficients<double>&, int64_t);

}  // namespace fovea::cuda
