#include "ops/batch_norm.h"

#include <cmath>

#include "core/parallel.h"
#include "cuda/kernels/batch_norm.h"
#include "ops/channel_rows.h"
#include "ops/dispatch.h"

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
void batch_norm_backward_cpu(const T* x, const T* scale, const T* u, const T* v, T* dx, BatchNormDims dims) {
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

struct Coefficients {
  Tensor scale, shift, mean, inverse_std;  // (C) each: y = x * scale + shift before the activation
};

template <class T>
Coefficients coefficients(const std::vector<double>& mean, const std::vector<double>& variance,
                          const Tensor& weight, const Tensor& bias, double epsilon) {
  const int64_t channels = weight.numel();
  Coefficients c{empty_like(weight), empty_like(weight), empty_like(weight), empty_like(weight)};
  for (int64_t i = 0; i < channels; ++i) {
    const double inverse_std = 1.0 / std::sqrt(variance[size_t(i)] + epsilon);
    const double scale = weight.data<T>()[i] * inverse_std;
    c.scale.data<T>()[i] = T(scale);
    c.shift.data<T>()[i] = T(bias.data<T>()[i] - mean[size_t(i)] * scale);
    c.mean.data<T>()[i] = T(mean[size_t(i)]);
    c.inverse_std.data<T>()[i] = T(inverse_std);
  }
  return c;
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

void check(const Tensor& x, const Tensor& weight, const Tensor& bias, const Tensor& mean,
           const Tensor& variance) {
  require(x.rank() >= 2, "[batch_norm] x is {}, it needs channels last and at least one axis before them",
          x.shape());
  const Shape expected{x.size(-1)};
  for (const Tensor* t : {&weight, &bias, &mean, &variance})
    require(t->shape() == expected && t->dtype() == x.dtype(),
            "[batch_norm] weight, bias and running averages must be {} of {} for x {}, got {} of {}",
            x.dtype(), expected, x.shape(), t->dtype(), t->shape());
  require(x.numel() > 0, "[batch_norm] x is {}: there is nothing to take statistics of", x.shape());
}

// Of x, weight and bias.
Tensors gradients(const Tensor& x, const Tensor& dy, const Coefficients& c, BatchNormDims dims,
                  const BatchNormOptions& options) {
  Tensor dx = empty_like(x), dweight = empty_like(c.scale), dbias = empty_like(c.scale);
  with_float_dtype(x.dtype(), "batch_norm", [&]<class T>() {
    T *sum_g = dbias.data<T>(), *sum_gx = dweight.data<T>();
    with_activation(options.activation, [&]<class F>() {
      on(x.device(), batch_norm_sums_cpu<F, T>)(x.data<T>(), dy.data<T>(), c.scale.data<T>(),
                                                c.shift.data<T>(), c.mean.data<T>(), dx.data<T>(), sum_g,
                                                sum_gx, dims);
    });
    Tensor u = zeros_like(c.scale), v = zeros_like(c.scale);
    for (int64_t i = 0; i < dims.channels; ++i) {
      const double inverse_std = c.inverse_std.data<T>()[i], scale = c.scale.data<T>()[i];
      if (options.training) {
        const double n = double(dims.rows), slope = scale * inverse_std * inverse_std * sum_gx[i] / n;
        v.data<T>()[i] = T(slope);
        u.data<T>()[i] = T(scale * sum_g[i] / n - slope * c.mean.data<T>()[i]);
      }
      sum_gx[i] = T(sum_gx[i] * inverse_std);
    }
    on(x.device(), batch_norm_backward_cpu<T>)(x.data<T>(), c.scale.data<T>(), u.data<T>(), v.data<T>(),
                                               dx.data<T>(), dims);
  });
  return {dx, dweight, dbias};
}

}  // namespace

Tensor batch_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, const Tensor& running_mean,
                  const Tensor& running_variance, const BatchNormOptions& options,
                  const ChannelStatistics* statistics) {
  check(x, weight, bias, running_mean, running_variance);
  const BatchNormDims dims{x.numel() / x.size(-1), x.size(-1)};
  Tensor y = empty_like(x);
  Coefficients c;
  with_float_dtype(x.dtype(), "batch_norm", [&]<class T>() {
    if (options.training) {
      ChannelStatistics own;
      if (!statistics || !statistics->ready()) {
        gather(own, x.data<T>(), dims.rows, dims.channels);
        statistics = &own;
      }
      require(statistics->rows() == dims.rows && statistics->channels() == dims.channels,
              "[batch_norm] the statistics given are of {}x{}, x is {}", statistics->rows(),
              statistics->channels(), x.shape());
      c = coefficients<T>(statistics->mean(), statistics->variance(), weight, bias, options.epsilon);
      update_running<T>(*statistics, running_mean, running_variance, options.momentum);
    } else {
      c = coefficients<T>(running_mean.values(), running_variance.values(), weight, bias, options.epsilon);
    }
    with_activation(options.activation, [&]<class F>() {
      on(x.device(), normalize_cpu<F, T>)(x.data<T>(), c.scale.data<T>(), c.shift.data<T>(), y.data<T>(),
                                          dims);
    });
  });
  return record(y, "batch_norm", {x, weight, bias}, [x = x.detach(), c, dims, options](const Tensor& dy) {
    return gradients(x, dy, c, dims, options);
  });
}

}  // namespace fovea
