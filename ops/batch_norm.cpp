#include "ops/batch_norm.h"

#include <algorithm>
#include <cmath>

#include "core/parallel.h"
#include "core/tape_observer.h"
#include "cuda/device/output_epilogue.h"
#include "cuda/kernels/batch_norm.h"
#include "ops/shape_ops.h"
#include "ops/support/attributes.h"
#include "ops/support/channel_rows.h"
#include "ops/support/channels.h"
#include "ops/support/dispatch.h"

namespace fovea {
namespace {

// y = f(x * a + b) for `rows` of the group's channels; a and b repeated by the group. y may be x.
template <class F, class T>
void normalize_rows(const RowGroup& group, const T* x, const std::vector<T>& a, const std::vector<T>& b, T* y,
                    int64_t rows) {
  group.each(rows, [&](int64_t at, int64_t count) {
#pragma omp simd
    for (int64_t j = 0; j < count; ++j) y[at + j] = F::forward(x[at + j] * a[size_t(j)] + b[size_t(j)]);
  });
}

// y = f(x * scale + shift), both (channels)
template <class F, class T>
void normalize_cpu(const T* x, const T* scale, const T* shift, T* y, const BatchNormDims& dims) {
  const RowGroup group(dims.channels);
  const std::vector<T> a = group.repeat<T>(scale), b = group.repeat<T>(shift);
  parallel_chunks(dims.rows(0), chunk_rows(dims.channels), [&](int64_t, int64_t begin, int64_t end) {
    normalize_rows<F>(group, x + begin * dims.channels, a, b, y + begin * dims.channels, end - begin);
  });
}

// With z = x * scale + shift and g = dy f'(z): grad_bias = sum g, grad_weight = sum g (x - mean) *
// inverse_std.
template <class F, class T>
void batch_norm_sums_cpu(const T* x, const T* dy, const T* scale, const T* shift, const T* mean, T* g,
                         T* sum_g, T* sum_gx, const BatchNormDims& dims) {
  const RowGroup group(dims.channels);
  const std::vector<T> a = group.repeat<T>(scale), b = group.repeat<T>(shift), m = group.repeat<T>(mean);
  const int64_t chunk = chunk_rows(dims.channels), chunks = chunk_count(dims.rows(0), chunk);
  std::vector<double> partial(static_cast<size_t>(2 * chunks * dims.channels));
  parallel_chunks(dims.rows(0), chunk, [&](int64_t index, int64_t begin, int64_t end) {
    std::vector<T> first(a.size()), second(a.size());
    const T *from = x + begin * dims.channels, *gradient = dy + begin * dims.channels;
    T* kept = g + begin * dims.channels;
    group.each(end - begin, [&](int64_t at, int64_t count) {
      T *s = first.data(), *q = second.data();
#pragma omp simd
      for (int64_t j = 0; j < count; ++j) {
        const T value = from[at + j];
        const T element = gradient[at + j] * F::derivative(value * a[size_t(j)] + b[size_t(j)]);
        kept[at + j] = element;
        s[j] += element;
        q[j] += element * (value - m[size_t(j)]);
      }
    });
    group.fold(first, partial.data() + 2 * index * dims.channels);
    group.fold(second, partial.data() + (2 * index + 1) * dims.channels);
  });
  for (int64_t c = 0; c < dims.channels; ++c) {
    double s = 0, q = 0;
    for (int64_t index = 0; index < chunks; ++index) {
      s += partial[size_t(2 * index * dims.channels + c)];
      q += partial[size_t((2 * index + 1) * dims.channels + c)];
    }
    sum_g[c] = T(s);
    sum_gx[c] = T(q);
  }
}

// dx = scale * g - u - x * v: with the batch's own statistics u and v carry the terms of mean and variance
// (arXiv 1502.03167, section 3), with running averages they are 0.
// dx holds g and is overwritten.
template <class T>
void batch_norm_dx_cpu(const T* x, const T* scale, const T* u, const T* v, T* dx, const BatchNormDims& dims) {
  const RowGroup group(dims.channels);
  const std::vector<T> a = group.repeat<T>(scale);
  const std::vector<T> constant = group.repeat<T>(u), slope = group.repeat<T>(v);
  parallel_chunks(dims.rows(0), chunk_rows(dims.channels), [&](int64_t, int64_t begin, int64_t end) {
    const T* from = x + begin * dims.channels;
    T* to = dx + begin * dims.channels;
    group.each(end - begin, [&](int64_t at, int64_t count) {
#pragma omp simd
      for (int64_t j = 0; j < count; ++j)
        to[at + j] = a[size_t(j)] * to[at + j] - constant[size_t(j)] - from[at + j] * slope[size_t(j)];
    });
  });
}

template <class F, class T>
void batch_norm_backward_cpu(const T* x, const T* dy, const BatchNormCoefficients<T>& norm,
                             bool batch_statistics, ProcessGroup* group, T* dx,
                             const BatchNormTable<T>& gradients, const BatchNormDims& dims) {
  T *sum_g = gradients.of[0].bias, *sum_gx = gradients.of[0].weight;
  batch_norm_sums_cpu<F>(x, dy, norm.scale, norm.shift, norm.mean, dx, sum_g, sum_gx, dims);
  std::vector<T> u(size_t(dims.channels)), v(size_t(dims.channels));
  if (batch_statistics) {
    // The mean and the variance are over the rows of all processes, and so are their gradient terms.
    std::vector<double> sums(sum_g, sum_g + dims.channels);
    sums.insert(sums.end(), sum_gx, sum_gx + dims.channels);
    sums.push_back(double(dims.rows(0)));
    if (group) group->all_reduce(std::span<double>(sums));
    const double *all_g = sums.data(), *all_gx = all_g + dims.channels, n = sums.back();
    for (int64_t i = 0; i < dims.channels; ++i) {
      const double inverse_std = norm.inverse_std[i], scale = norm.scale[i];
      const double slope = scale * inverse_std * inverse_std * all_gx[i] / n;
      v[size_t(i)] = T(slope);
      u[size_t(i)] = T(scale * all_g[i] / n - slope * norm.mean[i]);
    }
  }
  for (int64_t i = 0; i < dims.channels; ++i) sum_gx[i] = T(sum_gx[i] * double(norm.inverse_std[i]));
  batch_norm_dx_cpu(x, norm.scale, u.data(), v.data(), dx, dims);
}

struct Coefficients {
  Tensor scale, shift, mean, inverse_std;  // (segments, C): y = x * scale + shift before the activation

  Coefficients(const Tensor& weight, int64_t segments)
      : scale(empty({segments, weight.numel()}, weight.dtype(), weight.device())),
        shift(empty_like(scale)),
        mean(empty_like(scale)),
        inverse_std(empty_like(scale)) {}
  template <class R>
  BatchNormCoefficients<R> pointers() const {
    return {scale.data<R>(), shift.data<R>(), mean.data<R>(), inverse_std.data<R>()};
  }
};

double inverse_std_of(double variance, double epsilon) { return 1.0 / std::sqrt(variance + epsilon); }

template <class T>
void from_statistics(const std::vector<double>& mean, const std::vector<double>& variance,
                     const BatchNormTensors& norm, double epsilon, const Coefficients& c) {
  for (int64_t i = 0; i < norm.weight.numel(); ++i) {
    const double inverse_std = inverse_std_of(variance[size_t(i)], epsilon);
    const double scale = norm.weight.data<T>()[i] * inverse_std;
    c.scale.data<T>()[i] = T(scale);
    c.shift.data<T>()[i] = T(norm.bias.data<T>()[i] - mean[size_t(i)] * scale);
    c.mean.data<T>()[i] = T(mean[size_t(i)]);
    c.inverse_std.data<T>()[i] = T(inverse_std);
  }
}

template <class T>
void update_running(const ChannelStatistics& batch, const BatchNormTensors& norm, double momentum) {
  const double n = double(batch.rows()), unbiased = n > 1 ? n / (n - 1) : 1;
  T *mean = norm.running_mean.data<T>(), *variance = norm.running_variance.data<T>();
  for (int64_t c = 0; c < batch.channels(); ++c) {
    mean[c] = T((1 - momentum) * mean[c] + momentum * batch.mean()[size_t(c)]);
    variance[c] = T((1 - momentum) * variance[c] + momentum * unbiased * batch.variance()[size_t(c)]);
  }
}

// The inputs of forward_cpu and forward_cuda.
struct Inputs {
  const Tensor& x;
  const std::vector<BatchNormTensors>& norms;  // one on the CPU
  const BatchNormOptions& options;
  const ChannelStatistics* statistics;
  BatchNormDims dims;
};

template <class T>
void coefficients_cpu(const Inputs& in, const Coefficients& c) {
  const BatchNormTensors& norm = in.norms[0];
  const BatchNormOptions& options = in.options;
  if (!options.training)
    return from_statistics<T>(norm.running_mean.values(), norm.running_variance.values(), norm,
                              options.epsilon, c);
  const int64_t rows = in.dims.rows(0), channels = in.dims.channels;
  ChannelStatistics own;
  const ChannelStatistics* gathered = in.statistics && in.statistics->ready() ? in.statistics : nullptr;
  if (!gathered) gather(own, in.x.data<T>(), rows, channels), gathered = &own;
  if (options.process_group) {
    own = *gathered, gathered = &own;
    own.merge_processes(*options.process_group);
  }
  from_statistics<T>(gathered->mean(), gathered->variance(), norm, options.epsilon, c);
  if (options.update_running) update_running<T>(*gathered, norm, options.momentum);
}

template <class F, class T>
void forward_cpu(const Inputs& in, const Coefficients& c, const Tensor& y) {
  coefficients_cpu<T>(in, c);
  normalize_cpu<F>(in.x.data<T>(), c.scale.data<T>(), c.shift.data<T>(), y.data<T>(), in.dims);
}

template <class F, class T>
void forward_cuda(const Inputs& in, const Coefficients& c, const Tensor& y) {
  using R = Accumulator<T>;
  BatchNormTable<R> table;
  table.epsilon = R(in.options.epsilon);
  table.momentum = R(in.options.momentum);
  const bool running = !in.options.training || in.options.update_running;
  for (size_t i = 0; i < in.norms.size(); ++i) {
    const auto& [weight, bias, mean, variance] = in.norms[i];
    table.of[i] = {weight.data<R>(), bias.data<R>(), running ? mean.data<R>() : nullptr,
                   running ? variance.data<R>() : nullptr};
  }
  BatchNormChunks<R> chunks;
  if (const Tensor rows = in.statistics ? in.statistics->chunk_rows() : Tensor(); rows.defined())
    chunks = {rows.numel(), rows.data<int>(), in.statistics->chunk_statistics().data<R>()};
  cuda::batch_norm_forward<F>(in.x.data<T>(), table, in.options.training, in.options.process_group,
                              c.pointers<R>(), y.data<T>(), in.dims, chunks);
}

void check(const Tensor& x, const BatchNormTensors& norm) {
  const auto& [weight, bias, mean, variance] = norm;
  require(x.rank() >= 2, "[batch_norm] x is {}: it needs channels last and at least one axis before them",
          x.shape());
  if (weight.rank() == 1) require_channels("batch_norm", x, "weight", weight.shape(), weight.size(0));
  const Shape expected{x.size(-1)};
  for (const Tensor* t : {&weight, &bias, &mean, &variance})
    require(t->shape() == expected && t->dtype() == accumulator_dtype(x.dtype()),
            "[batch_norm] weight, bias and running averages must be {} of {} for x {}, got {} of {}",
            accumulator_dtype(x.dtype()), expected, x.shape(), t->dtype(), t->shape());
  require_one_device("batch_norm", {x, weight, bias, mean, variance});
  for (const Tensor* average : {&mean, &variance})
    require_no_gradient("batch_norm", "a running average", *average);
  require(x.numel() > 0, "[batch_norm] x is {}: there are no rows to take statistics of", x.shape());
}

Tensor normalized(const char* op, const Inputs& in) {
  const Coefficients c(in.norms[0].weight, in.dims.segments);
  Tensor y = empty_like(in.x);
  const BatchNormOptions& options = in.options;
  with_compute_dtype(in.x, op, [&]<class T>() {
    with_activation(options.activation, [&]<class F>() {
      on<T>(in.x.device(), forward_cpu<F, Accumulator<T>>, forward_cuda<F, T>)(in, c, y);
    });
  });
  const auto attributes = [&] {
    return Attributes{{"training", options.training},
                      {"epsilon", options.epsilon},
                      {"activation", name(options.activation)}};
  };
  Tensors inputs = {in.x};
  for (const auto& [weight, bias, mean, variance] : in.norms)
    inputs.insert(inputs.end(), {weight, bias, mean, variance});
  const auto backward = [op, x = in.x.detach(), c, dims = in.dims, options](const Tensor& dy) {
    Tensors gradients = {empty_like(x)};
    for (int i = 0; i < dims.segments; ++i)
      for (const bool average : {false, false, true, true})
        gradients.push_back(average ? Tensor() : empty({dims.channels}, c.scale.dtype(), x.device()));
    with_compute_dtype(x, op, [&]<class T>() {
      using R = Accumulator<T>;
      BatchNormTable<R> table;
      for (size_t i = 0; i < size_t(dims.segments); ++i)
        table.of[i] = {gradients[4 * i + 1].data<R>(), gradients[4 * i + 2].data<R>(), nullptr, nullptr};
      with_activation(options.activation, [&]<class F>() {
        on<T>(x.device(), batch_norm_backward_cpu<F, R>, cuda::batch_norm_backward<F, T>)(
            x.data<T>(), dy.data<T>(), c.pointers<R>(), options.training, options.process_group,
            gradients[0].data<T>(), table, dims);
      });
    });
    return gradients;
  };
  return record(y, {op, attributes}, inputs, backward);
}

}  // namespace

Tensor batch_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, const Tensor& running_mean,
                  const Tensor& running_variance, const BatchNormOptions& options,
                  const ChannelStatistics* statistics) {
  const std::vector<BatchNormTensors> norm = {{weight, bias, running_mean, running_variance}};
  check(x, norm[0]);
  const BatchNormDims dims = BatchNormDims::of_matrix(x.numel() / x.size(-1), x.size(-1));
  if (statistics && (statistics->ready() || statistics->chunk_rows().defined()))
    require(statistics->rows() == dims.pixels && statistics->channels() == dims.channels,
            "[batch_norm] the given statistics are of {}x{}, but x is {}", statistics->rows(),
            statistics->channels(), x.shape());
  return normalized("batch_norm", {x, norm, options, statistics, dims});
}

Tensor batch_norm(const Tensor& x, const std::vector<int64_t>& segments,
                  const std::vector<BatchNormTensors>& norms, const BatchNormOptions& options) {
  constexpr size_t most = BatchNormDims::max_segments;
  require(
      x.rank() == 3 && segments.size() == norms.size() && !norms.empty() && norms.size() <= most,
      "[batch_norm] x is {}, with {} segments and {} norms: give x as (N, P, C), and 1 to {} segments with "
      "a norm each",
      x.shape(), segments.size(), norms.size(), most);
  BatchNormDims dims{x.size(0), x.size(1), x.size(2), int(segments.size())};
  int64_t pixels = 0;
  for (size_t i = 0; i < segments.size(); pixels += segments[i++]) dims.size[i] = segments[i];
  require(
      *std::min_element(segments.begin(), segments.end()) > 0 && pixels == dims.pixels,
      "[batch_norm] the segments are of {} pixels, x is {}: they must add up to its second axis, and none "
      "be empty",
      fmt::join(segments, ", "), x.shape());
  require(x.size(0) * x.size(1) < int64_t(1) << 32, "[batch_norm] x is {}: it has 2^32 rows or more",
          x.shape());
  for (const BatchNormTensors& norm : norms) check(x, norm);
  if (x.device() == Device::cuda)
    return normalized("batch_norm_segments", {x, norms, options, nullptr, dims});
  Tensors parts;
  int64_t begin = 0;
  for (size_t i = 0; i < norms.size(); begin += segments[i++]) {
    const auto& [weight, bias, mean, variance] = norms[i];
    parts.push_back(
        batch_norm(slice(x, 1, begin, begin + segments[i]), weight, bias, mean, variance, options));
  }
  return concat(parts, 1);
}

EvaluationNorm::EvaluationNorm(const BatchNormTensors& norm, const BatchNormOptions& options)
    : norm_(norm), options_(options), applied_(is_dry_run() && norm.weight.device() == Device::cpu) {
  if (is_dry_run() || norm.weight.device() == Device::cuda) return;
  scale_ = norm.weight.values();
  shift_ = norm.bias.values();
  const std::vector<double> mean = norm.running_mean.values(), variance = norm.running_variance.values();
  for (size_t c = 0; c < scale_.size(); ++c) {
    scale_[c] *= inverse_std_of(variance[c], options.epsilon);
    shift_[c] -= mean[c] * scale_[c];
  }
}

bool EvaluationNorm::takes() {
  // Observers must be shown the convolution and the norm as two ops.
  return !grad_enabled() && !TapeObserver::any();
}

OutputEpilogue EvaluationNorm::on_cuda(const Tensor& y, int64_t) {
  check(y, norm_);
  applied_ = true;
  const auto& [weight, bias, mean, variance] = norm_;
  return {weight.data<float>(),   bias.data<float>(),      mean.data<float>(),
          variance.data<float>(), float(options_.epsilon), options_.activation};
}

void EvaluationNorm::prepare(int64_t, int64_t channels, int64_t) {
  require(channels == int64_t(scale_.size()),
          "[batch_norm] the norm has {} channels, the convolution before it {}", scale_.size(), channels);
}

EvaluationNorm EvaluationNorm::of_channels(int64_t begin, int64_t end) const {
  EvaluationNorm part = *this;
  part.scale_.assign(scale_.begin() + begin, scale_.begin() + end);
  part.shift_.assign(shift_.begin() + begin, shift_.begin() + end);
  return part;
}

template <class T>
void EvaluationNorm::normalize(T* values, int64_t rows) const {
  const RowGroup group{int64_t(scale_.size())};
  with_activation(options_.activation, [&]<class F>() {
    normalize_rows<F>(group, values, group.repeat<T>(scale_.data()), group.repeat<T>(shift_.data()), values,
                      rows);
  });
}

void EvaluationNorm::block(int64_t, float* values, int64_t rows) { normalize(values, rows); }
void EvaluationNorm::block(int64_t, double* values, int64_t rows) { normalize(values, rows); }

}  // namespace fovea
