#include "ops/batch_norm.h"

#include <algorithm>
#include <cmath>

#include "core/parallel.h"
#include "core/recompute.h"
#include "core/simd.h"
#include "core/tape_observer.h"
#include "cuda/device/output_epilogue.h"
#include "cuda/kernels/batch_norm.h"
#include "ops/shape_ops.h"
#include "ops/support/attributes.h"
#include "ops/support/batch_norm_coefficients.h"
#include "ops/support/channel_rows.h"
#include "ops/support/channels.h"
#include "ops/support/dispatch.h"

namespace fovea {
namespace {

// dx = scale * g - constant - x * slope (batch_norm_gradient_terms); dx may be g.
template <class T>
void batch_norm_dx_cpu(const T* x, const T* g, const T* scale, const T* constant, const T* slope, T* dx,
                       const BatchNormDims& dims) {
  const RowGroup group(dims.channels);
  const std::vector<T> a = group.repeat<T>(scale), u = group.repeat<T>(constant), v = group.repeat<T>(slope);
  parallel_chunks(dims.rows(0), chunk_rows(dims.channels), [&](int64_t, int64_t begin, int64_t end) {
    const int64_t first = begin * dims.channels;
    norm_gradient_rows(group, end - begin, x + first, g + first, a, u, v, dx + first);
  });
}

template <class F, class T>
void batch_norm_backward_cpu(const T* x, const T* dy, const BatchNormCoefficients<T>& norm,
                             const BatchNormOptions& options, T* dx, const BatchNormTable<T>& gradients,
                             const BatchNormDims& dims) {
  T *sum_g = gradients.of[0].bias, *sum_gx = gradients.of[0].weight;
  batch_norm_gradient_sums<F>(x, dy, norm, dx, sum_g, sum_gx, dims);
  std::vector<T> constant(size_t(dims.channels)), slope(size_t(dims.channels));
  batch_norm_gradient_terms(norm, options, dims.rows(0), dims.channels, sum_g, sum_gx, constant.data(),
                            slope.data());
  const T* g = std::is_same_v<F, Identity> ? dy : dx;
  batch_norm_dx_cpu(x, g, norm.scale, constant.data(), slope.data(), dx, dims);
}

template <class F, class T>
void batch_norm_backward_cuda(const T* x, const T* dy, const BatchNormCoefficients<Accumulator<T>>& norm,
                              const BatchNormOptions& options, T* dx,
                              const BatchNormTable<Accumulator<T>>& gradients, const BatchNormDims& dims) {
  cuda::batch_norm_backward<F>(x, dy, norm, options.training, options.process_group, dx, gradients, dims);
}

Tensor normalized(const char* op, const NormInputs& in) {
  const NormCoefficients c(in.norms[0].weight, in.dims.segments);
  Tensor y = empty_like(in.x);
  const BatchNormOptions& options = in.options;
  in.normalize(op, c, y);
  const auto attributes = [&] {
    return Attributes{{"training", options.training},
                      {"epsilon", options.epsilon},
                      {"activation", name(options.activation)}};
  };
  Tensors inputs = {in.x};
  for (const auto& [weight, bias, mean, variance] : in.norms)
    inputs.insert(inputs.end(), {weight, bias, mean, variance});
  const auto backward = [op, x = in.x.detach(), c, dims = in.dims, options](const Tensor& dy) {
    // The CPU's loops may write over dy, which saves reading the memory that they would write to.
    const bool in_place = dy.device() == Device::cpu && dy.unique();
    Tensors gradients = {in_place ? dy : empty_like(x)};
    for (int i = 0; i < dims.segments; ++i)
      for (const bool average : {false, false, true, true})
        gradients.push_back(average ? Tensor() : empty({dims.channels}, c.scale.dtype(), x.device()));
    with_compute_dtype(x, op, [&]<class T>() {
      using R = Accumulator<T>;
      BatchNormTable<R> table;
      for (size_t i = 0; i < size_t(dims.segments); ++i)
        table.of[i] = {gradients[4 * i + 1].data<R>(), gradients[4 * i + 2].data<R>(), nullptr, nullptr};
      with_activation(options.activation, [&]<class F>() {
        on<T>(x.device(), batch_norm_backward_cpu<F, R>, batch_norm_backward_cuda<F, T>)(
            x.data<T>(), dy.data<T>(), c.pointers<R>(), options, gradients[0].data<T>(), table, dims);
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
  check_norm("batch_norm", x, norm[0]);
  const BatchNormDims dims = BatchNormDims::of_matrix(x.numel() / x.size(-1), x.size(-1));
  check_statistics("batch_norm", x, statistics);
  return normalized("batch_norm", {x, norm, options, statistics, dims});
}

Tensor batch_norm(const Tensor& x, const std::vector<int64_t>& segments,
                  const std::vector<BatchNormTensors>& norms, const BatchNormOptions& options) {
  const BatchNormDims dims = dims_of_segments("batch_norm", x, segments, norms);
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
  // Observers must be shown the convolution and the norm as two ops, and the second pass of recompute(), with
  // gradients, must give the same bits as the first.
  return !grad_enabled() && !will_be_recomputed() && !TapeObserver::any();
}

OutputEpilogue EvaluationNorm::on_cuda(const Tensor& y, int64_t) {
  check_norm("batch_norm", y, norm_);
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

template <class T>
void EvaluationNorm::apply_and_sum(const T* x, int64_t rows, T* y, int64_t y_row, double* sums) const {
  constexpr int64_t lanes = simd_lanes<T>;  // columns at a time, whose sums stay in a register
  const int64_t channels = int64_t(scale_.size());
  with_activation(options_.activation, [&]<class F>() {
    const auto columns = [&](int64_t first, int64_t count) __attribute__((always_inline)) {
      T scale[lanes], shift[lanes], sum[lanes] = {};
      std::copy_n(scale_.data() + first, count, scale);
      std::copy_n(shift_.data() + first, count, shift);
      for (int64_t i = 0; i < rows; ++i) {
        const T* from = x + i * channels + first;
        T* to = y + i * y_row + first;
#pragma omp simd
        for (int64_t j = 0; j < count; ++j) {
          to[j] = F::forward(from[j] * scale[j] + shift[j]);
          sum[j] += to[j];
        }
      }
      for (int64_t j = 0; j < count; ++j) sums[first + j] += double(sum[j]);
    };
    int64_t c = 0;
    for (; c + lanes <= channels; c += lanes) columns(c, lanes);
    if (c < channels) columns(c, channels - c);
  });
}
template void EvaluationNorm::apply_and_sum(const float*, int64_t, float*, int64_t, double*) const;
template void EvaluationNorm::apply_and_sum(const double*, int64_t, double*, int64_t, double*) const;

void EvaluationNorm::block(int64_t, float* values, int64_t rows) { normalize(values, rows); }
void EvaluationNorm::block(int64_t, double* values, int64_t rows) { normalize(values, rows); }

}  // namespace fovea
