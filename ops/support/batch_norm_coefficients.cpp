#include "ops/support/batch_norm_coefficients.h"

#include <algorithm>
#include <cmath>
#include <span>

#include "core/autograd.h"
#include "core/parallel.h"
#include "ops/support/channels.h"
#include "ops/support/dispatch.h"

namespace fovea {
namespace {

template <class T>
void from_statistics(const std::vector<double>& mean, const std::vector<double>& variance,
                     const BatchNormTensors& norm, double epsilon, const NormCoefficients& c) {
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

// y = f(x * scale + shift), both (channels)
template <class F, class T>
void normalize_cpu(const T* x, const T* scale, const T* shift, T* y, const BatchNormDims& dims) {
  const RowGroup group(dims.channels);
  const std::vector<T> a = group.repeat<T>(scale), b = group.repeat<T>(shift);
  parallel_chunks(dims.rows(0), chunk_rows(dims.channels), [&](int64_t, int64_t begin, int64_t end) {
    normalize_rows<F>(group, x + begin * dims.channels, a, b, y + begin * dims.channels, end - begin);
  });
}

template <class F, class T>
void forward_cpu(const NormInputs& in, const NormCoefficients& c, const Tensor& y) {
  in.coefficients_cpu<T>(c);
  normalize_cpu<F>(in.x.data<T>(), c.scale.data<T>(), c.shift.data<T>(), y.data<T>(), in.dims);
}

template <class F, class T>
void forward_cuda(const NormInputs& in, const NormCoefficients& c, const Tensor& y) {
  using R = Accumulator<T>;
  cuda::batch_norm_forward<F>(in.x.data<T>(), in.table<R>(), in.options.training, in.options.process_group,
                              c.pointers<R>(), y.data<T>(), in.dims, in.given<R>());
}

}  // namespace

NormCoefficients::NormCoefficients(const Tensor& weight, int64_t segments)
    : scale(empty({segments, weight.numel()}, weight.dtype(), weight.device())),
      shift(empty_like(scale)),
      mean(empty_like(scale)),
      inverse_std(empty_like(scale)) {}

double inverse_std_of(double variance, double epsilon) { return 1.0 / std::sqrt(variance + epsilon); }

template <class T>
void NormInputs::coefficients_cpu(const NormCoefficients& c) const {
  const BatchNormTensors& norm = norms[0];
  if (!options.training)
    return from_statistics<T>(norm.running_mean.values(), norm.running_variance.values(), norm,
                              options.epsilon, c);
  const int64_t rows = dims.rows(0), channels = dims.channels;
  ChannelStatistics own;
  const ChannelStatistics* gathered = statistics && statistics->ready() ? statistics : nullptr;
  if (!gathered) gather(own, x.data<T>(), rows, channels), gathered = &own;
  if (options.process_group) {
    own = *gathered, gathered = &own;
    own.merge_processes(*options.process_group);
  }
  from_statistics<T>(gathered->mean(), gathered->variance(), norm, options.epsilon, c);
  if (options.update_running) update_running<T>(*gathered, norm, options.momentum);
}

void NormInputs::normalize(const char* op, const NormCoefficients& c, const Tensor& y) const {
  with_compute_dtype(x, op, [&]<class T>() {
    with_activation(options.activation, [&]<class F>() {
      on<T>(x.device(), forward_cpu<F, Accumulator<T>>, forward_cuda<F, T>)(*this, c, y);
    });
  });
}

template <class F, class T>
void batch_norm_gradient_sums(const T* x, const T* dy, const BatchNormCoefficients<T>& norm, T* g, T* sum_g,
                              T* sum_gx, const BatchNormDims& dims) {
  const RowGroup group(dims.channels);
  const std::vector<T> scales = group.repeat<T>(norm.scale), shifts = group.repeat<T>(norm.shift),
                       means = group.repeat<T>(norm.mean);
  const auto add = [=, a = scales.data(), b = shifts.data(), mean = means.data()](int64_t at, int64_t count,
                                                                                  T* const(&to)[2]) {
    T *s = to[0], *q = to[1];
#pragma omp simd
    for (int64_t j = 0; j < count; ++j) {
      const T value = x[at + j], element = dy[at + j] * F::derivative(value * a[j] + b[j]);
      if constexpr (!std::is_same_v<F, Identity>) g[at + j] = element;
      s[j] += element;
      q[j] += element * (value - mean[j]);
    }
  };
  std::vector<T> sums(size_t(2 * dims.channels));
  column_sums_of<2>(dims.rows(0), dims.channels, 1, add, sums.data());
  std::copy_n(sums.data(), dims.channels, sum_g);
  std::copy_n(sums.data() + dims.channels, dims.channels, sum_gx);
}

template <class T>
void batch_norm_gradient_terms(const BatchNormCoefficients<T>& norm, const BatchNormOptions& options,
                               int64_t rows, int64_t channels, const T* sum_g, T* sum_gx, T* constant,
                               T* slope) {
  if (options.training) {
    // The mean and the variance are over the rows of all processes, and so are their gradient terms.
    std::vector<double> sums(sum_g, sum_g + channels);
    sums.insert(sums.end(), sum_gx, sum_gx + channels);
    sums.push_back(double(rows));
    if (options.process_group) options.process_group->all_reduce(std::span<double>(sums));
    const double *all_g = sums.data(), *all_gx = all_g + channels, n = sums.back();
    for (int64_t i = 0; i < channels; ++i) {
      const double inverse_std = norm.inverse_std[i], scale = norm.scale[i];
      const double of_variance = scale * inverse_std * inverse_std * all_gx[i] / n;
      slope[i] = T(of_variance);
      constant[i] = T(scale * all_g[i] / n - of_variance * norm.mean[i]);
    }
  } else {
    std::fill_n(constant, channels, T(0));
    std::fill_n(slope, channels, T(0));
  }
  for (int64_t i = 0; i < channels; ++i) sum_gx[i] = T(sum_gx[i] * double(norm.inverse_std[i]));
}

void check_norm(const char* op, const Tensor& x, const BatchNormTensors& norm) {
  const auto& [weight, bias, mean, variance] = norm;
  require(x.rank() >= 2, "[{}] x is {}: it needs channels last and at least one axis before them", op,
          x.shape());
  if (weight.rank() == 1) require_channels(op, x, "weight", weight.shape(), weight.size(0));
  const Shape expected{x.size(-1)};
  for (const Tensor* t : {&weight, &bias, &mean, &variance})
    require(t->shape() == expected && t->dtype() == accumulator_dtype(x.dtype()),
            "[{}] weight, bias and running averages must be {} of {} for x {}, got {} of {}", op,
            accumulator_dtype(x.dtype()), expected, x.shape(), t->dtype(), t->shape());
  require_one_device(op, {x, weight, bias, mean, variance});
  for (const Tensor* average : {&mean, &variance}) require_no_gradient(op, "a running average", *average);
  require(x.numel() > 0, "[{}] x is {}: there are no rows to take statistics of", op, x.shape());
}

BatchNormDims dims_of_segments(const char* op, const Tensor& x, const std::vector<int64_t>& segments,
                               const std::vector<BatchNormTensors>& norms) {
  constexpr size_t most = BatchNormDims::max_segments;
  require(x.rank() == 3 && segments.size() == norms.size() && !norms.empty() && norms.size() <= most,
          "[{}] x is {}, with {} segments and {} norms: give x as (N, P, C), and 1 to {} segments with "
          "a norm each",
          op, x.shape(), segments.size(), norms.size(), most);
  BatchNormDims dims{x.size(0), x.size(1), x.size(2), int(segments.size())};
  int64_t pixels = 0;
  for (size_t i = 0; i < segments.size(); pixels += segments[i++]) dims.size[i] = segments[i];
  require(*std::min_element(segments.begin(), segments.end()) > 0 && pixels == dims.pixels,
          "[{}] the segments are of {} pixels, x is {}: they must add up to its second axis, and none "
          "be empty",
          op, fmt::join(segments, ", "), x.shape());
  require(x.size(0) * x.size(1) < int64_t(1) << 32, "[{}] x is {}: it has 2^32 rows or more", op, x.shape());
  for (const BatchNormTensors& norm : norms) check_norm(op, x, norm);
  return dims;
}

void check_statistics(const char* op, const Tensor& x, const ChannelStatistics* statistics) {
  if (!statistics || !(statistics->ready() || statistics->chunk_rows().defined())) return;
  const int64_t channels = x.size(-1), rows = x.numel() / channels;
  require(statistics->rows() == rows && statistics->channels() == channels,
          "[{}] the given statistics are of {}x{}, but x is {}", op, statistics->rows(),
          statistics->channels(), x.shape());
}

template void NormInputs::coefficients_cpu<float>(const NormCoefficients&) const;
template void NormInputs::coefficients_cpu<double>(const NormCoefficients&) const;

#define INSTANTIATE(F, T)                                                                                    \
  template void batch_norm_gradient_sums<F>(const T*, const T*, const BatchNormCoefficients<T>&, T*, T*, T*, \
                                            const BatchNormDims&);
#define FOR_EACH_DTYPE(name, F) INSTANTIATE(F, float) INSTANTIATE(F, double)
FOVEA_ACTIVATIONS(FOR_EACH_DTYPE)
template void batch_norm_gradient_terms<float>(const BatchNormCoefficients<float>&, const BatchNormOptions&,
                                               int64_t, int64_t, const float*, float*, float*, float*);
template void batch_norm_gradient_terms<double>(const BatchNormCoefficients<double>&, const BatchNormOptions&,
                                                int64_t, int64_t, const double*, double*, double*, double*);

}  // namespace fovea
