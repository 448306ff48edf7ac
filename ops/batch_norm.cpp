#include "ops/batch_norm.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "core/parallel.h"
#include "core/tape_observer.h"
#include "cuda/kernels/batch_norm.h"
#include "ops/support/attributes.h"
#include "ops/support/channel_rows.h"
#include "ops/support/dispatch.h"

namespace fovea {
namespace {

struct Matrix {
  int64_t rows, channels;
};

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
void normalize_cpu(const T* x, const T* scale, const T* shift, T* y, Matrix dims) {
  const RowGroup group(dims.channels);
  const std::vector<T> a = group.repeat<T>(scale), b = group.repeat<T>(shift);
  parallel_chunks(dims.rows, chunk_rows(dims.channels), [&](int64_t, int64_t begin, int64_t end) {
    normalize_rows<F>(group, x + begin * dims.channels, a, b, y + begin * dims.channels, end - begin);
  });
}

// With z = x * scale + shift and g = dy f'(z): grad_bias = sum g, grad_weight = sum g (x - mean) *
// inverse_std.
template <class F, class T>
void batch_norm_sums_cpu(const T* x, const T* dy, const T* scale, const T* shift, const T* mean, T* g,
                         T* sum_g, T* sum_gx, Matrix dims) {
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
void batch_norm_dx_cpu(const T* x, const T* scale, const T* u, const T* v, T* dx, Matrix dims) {
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
                             Matrix dims) {
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

// A segment's rows one after another, as the loops want them: x itself where it is the only one, else a copy.
template <class T>
class SegmentRows {
 public:
  SegmentRows(T* x, const BatchNormDims& d, int segment) : x_(x) {
    if (d.segments == 1) return;
    for (int i = 0; i < segment; ++i) x_ += d.size[i] * d.channels;
    length_ = d.size[segment] * d.channels;
    stride_ = d.pixels * d.channels;
    copy_.resize(size_t(d.images * length_));
    for (int64_t i = 0; i < d.images; ++i) std::copy_n(x_ + i * stride_, length_, copy_.data() + i * length_);
  }
  T* data() { return copy_.empty() ? x_ : copy_.data(); }
  void write_back() const {
    for (int64_t at = 0, i = 0; at < int64_t(copy_.size()); at += length_, ++i)
      std::copy_n(copy_.data() + at, length_, x_ + i * stride_);
  }

 private:
  T* x_;
  int64_t length_ = 0, stride_ = 0;  // an image's rows, from one image to the next
  std::vector<T> copy_;
};

struct Coefficients {
  Tensor scale, shift, mean, inverse_std;  // (segments, C): y = x * scale + shift before the activation

  Coefficients(const Tensor& weight, int64_t segments)
      : scale(empty({segments, weight.numel()}, weight.dtype(), weight.device())),
        shift(empty_like(scale)),
        mean(empty_like(scale)),
        inverse_std(empty_like(scale)) {}
  template <class R>
  BatchNormCoefficients<R> pointers(int segment = 0) const {
    const int64_t at = segment * scale.size(1);
    return {scale.data<R>() + at, shift.data<R>() + at, mean.data<R>() + at, inverse_std.data<R>() + at};
  }
};

double inverse_std_of(double variance, double epsilon) { return 1.0 / std::sqrt(variance + epsilon); }

template <class T>
void from_statistics(const std::vector<double>& mean, const std::vector<double>& variance,
                     const BatchNormTensors& norm, double epsilon, const BatchNormCoefficients<T>& c) {
  for (int64_t i = 0; i < norm.weight.numel(); ++i) {
    const double inverse_std = inverse_std_of(variance[size_t(i)], epsilon);
    const double scale = norm.weight.data<T>()[i] * inverse_std;
    c.scale[i] = T(scale);
    c.shift[i] = T(norm.bias.data<T>()[i] - mean[size_t(i)] * scale);
    c.mean[i] = T(mean[size_t(i)]);
    c.inverse_std[i] = T(inverse_std);
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

// What both of forward_cpu and forward_cuda are given.
struct ForwardPass {
  const Tensor& x;
  const std::vector<BatchNormTensors>& norms;
  const BatchNormOptions& options;
  const ChannelStatistics* statistics;  // gathered on the CPU only
  const Coefficients& coefficients;
  const Tensor& y;
  const BatchNormDims& dims;
};

template <class T>
void coefficients_cpu(const ForwardPass& in, const BatchNormTensors& norm, const T* x, Matrix dims,
                      const BatchNormCoefficients<T>& c) {
  const BatchNormOptions& options = in.options;
  if (!options.training)
    return from_statistics<T>(norm.running_mean.values(), norm.running_variance.values(), norm,
                              options.epsilon, c);
  ChannelStatistics own;
  const ChannelStatistics* gathered = in.statistics && in.statistics->ready() ? in.statistics : nullptr;
  if (!gathered) gather(own, x, dims.rows, dims.channels), gathered = &own;
  require(gathered->rows() == dims.rows && gathered->channels() == dims.channels,
          "[batch_norm] the statistics given are of {}x{}, x is {}", gathered->rows(), gathered->channels(),
          in.x.shape());
  if (options.process_group) {
    own = *gathered, gathered = &own;
    own.merge_processes(*options.process_group);
  }
  from_statistics<T>(gathered->mean(), gathered->variance(), norm, options.epsilon, c);
  if (options.update_running) update_running<T>(*gathered, norm, options.momentum);
}

template <class F, class T>
void forward_cpu(const ForwardPass& in) {
  for (int i = 0; i < in.dims.segments; ++i) {
    const Matrix dims{in.dims.rows(i), in.dims.channels};
    const BatchNormCoefficients<T> c = in.coefficients.pointers<T>(i);
    SegmentRows<T> x(in.x.data<T>(), in.dims, i), y(in.y.data<T>(), in.dims, i);
    coefficients_cpu<T>(in, in.norms[size_t(i)], x.data(), dims, c);
    normalize_cpu<F, T>(x.data(), c.scale, c.shift, y.data(), dims);
    y.write_back();
  }
}

template <class F, class T>
void forward_cuda(const ForwardPass& in) {
  using R = Accumulator<T>;
  BatchNormTable<R> table;
  table.epsilon = R(in.options.epsilon);
  table.momentum = R(in.options.momentum);
  const bool running = !in.options.training || in.options.update_running;
  for (size_t i = 0; i < in.norms.size(); ++i) {
    const BatchNormTensors& norm = in.norms[i];
    table.of[i] = {norm.weight.data<R>(), norm.bias.data<R>(),
                   running ? norm.running_mean.data<R>() : nullptr,
                   running ? norm.running_variance.data<R>() : nullptr};
  }
  cuda::batch_norm_forward<F, T>(in.x.data<T>(), table, in.options.training, in.options.process_group,
                                 in.coefficients.pointers<R>(), in.y.data<T>(), in.dims);
}

// What both of backward_cpu and backward_cuda are given.
struct BackwardPass {
  const Tensor &x, &dy;
  const Coefficients& coefficients;
  const BatchNormOptions& options;
  const Tensor& dx;
  const Tensors &dweight, &dbias;  // each segment's
  const BatchNormDims& dims;
};

template <class F, class T>
void backward_cpu(const BackwardPass& in) {
  for (int i = 0; i < in.dims.segments; ++i) {
    SegmentRows<T> x(in.x.data<T>(), in.dims, i), dy(in.dy.data<T>(), in.dims, i),
        dx(in.dx.data<T>(), in.dims, i);
    batch_norm_backward_cpu<F, T>(x.data(), dy.data(), in.coefficients.pointers<T>(i), in.options.training,
                                  in.options.process_group, dx.data(), in.dweight[size_t(i)].data<T>(),
                                  in.dbias[size_t(i)].data<T>(), {in.dims.rows(i), in.dims.channels});
    dx.write_back();
  }
}

template <class F, class T>
void backward_cuda(const BackwardPass& in) {
  using R = Accumulator<T>;
  BatchNormTable<R> gradients;
  for (size_t i = 0; i < in.dweight.size(); ++i)
    gradients.of[i] = {in.dweight[i].data<R>(), in.dbias[i].data<R>(), nullptr, nullptr};
  cuda::batch_norm_backward<F, T>(in.x.data<T>(), in.dy.data<T>(), in.coefficients.pointers<R>(),
                                  in.options.training, in.options.process_group, in.dx.data<T>(), gradients,
                                  in.dims);
}

void check(const Tensor& x, const BatchNormTensors& norm) {
  const auto& [weight, bias, mean, variance] = norm;
  require(x.rank() >= 2, "[batch_norm] x is {}, it needs channels last and at least one axis before them",
          x.shape());
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

Tensor normalized(const char* op, const Tensor& x, const std::vector<BatchNormTensors>& norms,
                  const BatchNormOptions& options, const ChannelStatistics* statistics,
                  const BatchNormDims& dims) {
  const Coefficients c(norms[0].weight, dims.segments);
  Tensor y = empty_like(x);
  with_compute_dtype(x, op, [&]<class T>() {
    with_activation(options.activation, [&]<class F>() {
      on<T>(x.device(), forward_cpu<F, Accumulator<T>>,
            forward_cuda<F, T>)({x, norms, options, statistics, c, y, dims});
    });
  });
  const auto attributes = [&] {
    return Attributes{{"training", options.training},
                      {"epsilon", options.epsilon},
                      {"activation", name(options.activation)}};
  };
  Tensors inputs = {x};
  for (const BatchNormTensors& n : norms)
    inputs.insert(inputs.end(), {n.weight, n.bias, n.running_mean, n.running_variance});
  return record(y, {op, attributes}, inputs, [op, x = x.detach(), c, dims, options](const Tensor& dy) {
    const Tensor dx = empty_like(x);
    Tensors dweight, dbias, all = {dx};
    for (int i = 0; i < dims.segments; ++i) {
      for (Tensors* gradients : {&dweight, &dbias})
        gradients->push_back(empty({dims.channels}, c.scale.dtype(), x.device()));
      all.insert(all.end(), {dweight.back(), dbias.back(), {}, {}});
    }
    with_compute_dtype(x, op, [&]<class T>() {
      with_activation(options.activation, [&]<class F>() {
        on<T>(x.device(), backward_cpu<F, Accumulator<T>>,
              backward_cuda<F, T>)({x, dy, c, options, dx, dweight, dbias, dims});
      });
    });
    return all;
  });
}

}  // namespace

Tensor batch_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, const Tensor& running_mean,
                  const Tensor& running_variance, const BatchNormOptions& options,
                  const ChannelStatistics* statistics) {
  const BatchNormTensors norm{weight, bias, running_mean, running_variance};
  check(x, norm);
  return normalized("batch_norm", x, {norm}, options, statistics,
                    BatchNormDims::of_matrix(x.numel() / x.size(-1), x.size(-1)));
}

Tensor batch_norm(const Tensor& x, const std::vector<int64_t>& segments,
                  const std::vector<BatchNormTensors>& norms, const BatchNormOptions& options) {
  constexpr size_t most = BatchNormDims::max_segments;
  require(
      x.rank() == 3 && segments.size() == norms.size() && !norms.empty() && norms.size() <= most,
      "[batch_norm] x is {}, with {} segments and {} norms: give x as (N, P, C), and 1 to {} segments with "
      "a norm each",
      x.shape(), segments.size(), norms.size(), most);
  BatchNormDims dims{x.size(0), x.size(1), x.size(2), int(segments.size()), {}};
  std::copy(segments.begin(), segments.end(), dims.size);
  require(
      *std::min_element(segments.begin(), segments.end()) > 0 &&
          std::accumulate(segments.begin(), segments.end(), int64_t(0)) == dims.pixels,
      "[batch_norm] the segments are of {} pixels, x is {}: they must add up to its second axis, and none "
      "be empty",
      fmt::join(segments, ", "), x.shape());
  require(dims.images * dims.pixels <= std::numeric_limits<int32_t>::max(),
          "[batch_norm] x is {}: norms of segments take up to {} rows", x.shape(),
          std::numeric_limits<int32_t>::max());
  for (const BatchNormTensors& norm : norms) check(x, norm);
  return normalized("batch_norm_segments", x, norms, options, nullptr, dims);
}

EvaluationNorm::EvaluationNorm(const BatchNormTensors& norm, const BatchNormOptions& options)
    : activation_(options.activation) {
  if (is_dry_run()) return;
  scale_ = norm.weight.values();
  shift_ = norm.bias.values();
  const std::vector<double> mean = norm.running_mean.values(), variance = norm.running_variance.values();
  for (size_t c = 0; c < scale_.size(); ++c) {
    scale_[c] *= inverse_std_of(variance[c], options.epsilon);
    shift_[c] -= mean[c] * scale_[c];
  }
}

bool EvaluationNorm::takes(const Tensor& x) {
  // Observers are to see the convolution and the norm as two ops.
  return x.device() == Device::cpu && !grad_enabled() && !TapeObserver::any();
}

void EvaluationNorm::prepare(int64_t, int64_t channels, int64_t) {
  require(channels == int64_t(scale_.size()),
          "[batch_norm] it is of {} channels, the convolution before it of {}", scale_.size(), channels);
}

template <class T>
void EvaluationNorm::normalize(T* values, int64_t rows) const {
  const RowGroup group{int64_t(scale_.size())};
  with_activation(activation_, [&]<class F>() {
    normalize_rows<F>(group, values, group.repeat<T>(scale_.data()), group.repeat<T>(shift_.data()), values,
                      rows);
  });
}

void EvaluationNorm::block(int64_t, float* values, int64_t rows) { normalize(values, rows); }
void EvaluationNorm::block(int64_t, double* values, int64_t rows) { normalize(values, rows); }

}  // namespace fovea
