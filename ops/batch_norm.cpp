#include "ops/batch_norm.h"

#include <cmath>

#include "core/parallel.h"
#include "cuda/kernels/batch_norm.h"
#include "ops/support/attributes.h"
#include "ops/support/channel_rows.h"
#include "ops/support/channels.h"
#include "ops/support/dispatch.h"

namespace fovea {
namespace {

// y = f(x * scale + shift), both (channels)
template <class F, class T>
void normalize_cpu(const T* x, const T* scale, const T* shift, T* y, BatchNormDims dims) {
  const RowGroup group(dims.channels);
  const std::vector<T> a = group.repeat<T>(scale), b = group.repeat<T>(shift);
  parallel_chunks(dims.rows, chunk_rows(dims.channels), [&](int64_t, int64_t begin, int64_t end) {
    const T* from = x + begin * dims.channels;
    T* to = y + begin * dims.channels;
    group.each(end - begin, [&](int64_t at, int64_t count) {
#pragma omp simd
      for (int64_t j = 0; j < count; ++j) to[at + j] = F::forward(from[at + j] * a[size_t(j)] + b[size_t(j)]);
    });
  });
}

// With z = x * scale + shift and g = dy f'(z): grad_bias = sum g, grad_weight = sum g (x - mean) *
// inverse_std.
template <class F, class T>
void batch_norm_sums_cpu(const T* x, const T* dy, const T* scale, const T* shift, const T* mean, T* g,
                         T* sum_g, T* sum_gx, BatchNormDims dims) {
  const RowGroup group(dims.channels);
  const std::vector<T> a = group.repeat<T>(scale), b = group.repeat<T>(shift), m = group.repeat<T>(mean);
  const int64_t chunk = chunk_rows(dims.channels), chunks = chunk_count(dims.rows, chunk);
  std::vector<double> partial(static_cast<size_t>(2 * chunks * dims.channels));
  parallel_chunks(dims.rows, chunk, [&](int64_t index, int64_t begin, int64_t end) {
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
void batch_norm_dx_cpu(const T* x, const T* scale, const T* u, const T* v, T* dx, BatchNormDims dims) {
  const RowGroup group(dims.channels);
  const std::vector<T> a = group.repeat<T>(scale);
  const std::vector<T> constant = group.repeat<T>(u), slope = group.repeat<T>(v);
  parallel_chunks(dims.rows, chunk_rows(dims.channels), [&](int64_t, int64_t begin, int64_t end) {
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
                             bool batch_statistics, ProcessGroup* group, T* dx, T* dweight, T* dbias,
                             BatchNormDims dims) {
  T *sum_g = dbias, *sum_gx = dweight;
  batch_norm_sums_cpu<F>(x, dy, norm.scale, norm.shift, norm.mean, dx, sum_g, sum_gx, dims);
  std::vector<T> u(size_t(dims.channels)), v(size_t(dims.channels));
  if (batch_statistics) {
    // The mean and the variance are of the rows of all processes, and so is what they carry.
    std::vector<double> sums(sum_g, sum_g + dims.channels);
    sums.insert(sums.end(), sum_gx, sum_gx + dims.channels);
    sums.push_back(double(dims.rows));
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
  Tensor scale, shift, mean, inverse_std;  // (C) each: y = x * scale + shift before the activation

  explicit Coefficients(const Tensor& weight)
      : scale(empty_like(weight)),
        shift(empty_like(weight)),
        mean(empty_like(weight)),
        inverse_std(empty_like(weight)) {}
  template <class R>
  BatchNormCoefficients<R> pointers() const {
    return {scale.data<R>(), shift.data<R>(), mean.data<R>(), inverse_std.data<R>()};
  }
};

template <class T>
void from_statistics(const std::vector<double>& mean, const std::vector<double>& variance,
                     const Tensor& weight, const Tensor& bias, double epsilon, const Coefficients& c) {
  const int64_t channels = weight.numel();
  for (int64_t i = 0; i < channels; ++i) {
    const double inverse_std = 1.0 / std::sqrt(variance[size_t(i)] + epsilon);
    const double scale = weight.data<T>()[i] * inverse_std;
    c.scale.data<T>()[i] = T(scale);
    c.shift.data<T>()[i] = T(bias.data<T>()[i] - mean[size_t(i)] * scale);
    c.mean.data<T>()[i] = T(mean[size_t(i)]);
    c.inverse_std.data<T>()[i] = T(inverse_std);
  }
}

template <class T>
void update_running(const ChannelStatistics& batch, const Tensor& running_mean,
                    const Tensor& running_variance, double momentum) {
  const double n = double(batch.rows()), unbiased = n > 1 ? n / (n - 1) : 1;
  T *mean = running_mean.data<T>(), *variance = running_variance.data<T>();
  for (int64_t c = 0; c < batch.channels(); ++c) {
    mean[c] = T((1 - momentum) * mean[c] + momentum * batch.mean()[size_t(c)]);
    variance[c] = T((1 - momentum) * variance[c] + momentum * unbiased * batch.variance()[size_t(c)]);
  }
}

// What both of coefficients_cpu and coefficients_cuda are given.
struct Inputs {
  const Tensor &x, &weight, &bias, &running_mean, &running_variance;
  const BatchNormOptions& options;
  const ChannelStatistics* statistics;  // gathered on the CPU only
  BatchNormDims dims;
};

template <class T>
void coefficients_cpu(const Inputs& in, const Coefficients& c) {
  if (!in.options.training) {
    from_statistics<T>(in.running_mean.values(), in.running_variance.values(), in.weight, in.bias,
                       in.options.epsilon, c);
    return;
  }
  ChannelStatistics own;
  const ChannelStatistics* gathered = in.statistics && in.statistics->ready() ? in.statistics : nullptr;
  if (!gathered) gather(own, in.x.data<T>(), in.dims.rows, in.dims.channels), gathered = &own;
  require(gathered->rows() == in.dims.rows && gathered->channels() == in.dims.channels,
          "[batch_norm] the statistics given are of {}x{}, x is {}", gathered->rows(), gathered->channels(),
          in.x.shape());
  if (in.options.process_group) {
    own = *gathered, gathered = &own;
    own.merge_processes(*in.options.process_group);
  }
  const ChannelStatistics& batch = *gathered;
  from_statistics<T>(batch.mean(), batch.variance(), in.weight, in.bias, in.options.epsilon, c);
  if (!in.options.update_running) return;
  update_running<T>(batch, in.running_mean, in.running_variance, in.options.momentum);
}

template <class T>
void coefficients_cuda(const Inputs& in, const Coefficients& c) {
  using R = Accumulator<T>;
  R *weight = in.weight.data<R>(), *bias = in.bias.data<R>();
  R *mean = in.running_mean.data<R>(), *variance = in.running_variance.data<R>();
  const bool update = in.options.update_running;
  if (in.options.training)
    cuda::batch_norm_coefficients(in.x.data<T>(), weight, bias, update ? mean : nullptr,
                                  update ? variance : nullptr, in.options.epsilon, in.options.momentum,
                                  in.options.process_group, c.pointers<R>(), in.dims);
  else
    cuda::batch_norm_running_coefficients(weight, bias, mean, variance, in.options.epsilon, c.pointers<R>(),
                                          in.dims.channels);
}

void check(const Tensor& x, const Tensor& weight, const Tensor& bias, const Tensor& mean,
           const Tensor& variance) {
  require(x.rank() >= 2, "[batch_norm] x is {}, it needs channels last and at least one axis before them",
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
  require(x.numel() > 0, "[batch_norm] x is {}: there is nothing to take statistics of", x.shape());
}

}  // namespace

Tensor batch_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, const Tensor& running_mean,
                  const Tensor& running_variance, const BatchNormOptions& options,
                  const ChannelStatistics* statistics) {
  check(x, weight, bias, running_mean, running_variance);
  const BatchNormDims dims{x.numel() / x.size(-1), x.size(-1)};
  const Inputs inputs{x, weight, bias, running_mean, running_variance, options, statistics, dims};
  const Coefficients c(weight);
  Tensor y = empty_like(x);
  with_compute_dtype(x, "batch_norm", [&]<class T>() {
    using R = Accumulator<T>;
    on<T>(x.device(), coefficients_cpu<R>, coefficients_cuda<T>)(inputs, c);
    with_activation(options.activation, [&]<class F>() {
      on<T>(x.device(), normalize_cpu<F, R>, cuda::batch_norm_normalize<F, T>)(
          x.data<T>(), c.scale.data<R>(), c.shift.data<R>(), y.data<T>(), dims);
    });
  });
  const auto attributes = [&] {
    return Attributes{{"training", options.training},
                      {"epsilon", options.epsilon},
                      {"activation", name(options.activation)}};
  };
  return record(y, {"batch_norm", attributes}, {x, weight, bias, running_mean, running_variance},
                [x = x.detach(), c, dims, options](const Tensor& dy) -> Tensors {
                  Tensor dx = empty_like(x), dweight = empty_like(c.scale), dbias = empty_like(c.scale);
                  with_compute_dtype(x, "batch_norm", [&]<class T>() {
                    using R = Accumulator<T>;
                    with_activation(options.activation, [&]<class F>() {
                      on<T>(x.device(), batch_norm_backward_cpu<F, R>, cuda::batch_norm_backward<F, T>)(
                          x.data<T>(), dy.data<T>(), c.pointers<R>(), options.training, options.process_group,
                          dx.data<T>(), dweight.data<R>(), dbias.data<R>(), dims);
                    });
                  });
                  return {dx, dweight, dbias, {}, {}};
                });
}

}  // namespace fovea
