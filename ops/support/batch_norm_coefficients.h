#pragma once
#include <vector>

#include "core/tensor.h"
#include "cuda/kernels/activation.h"
#include "cuda/kernels/batch_norm.h"
#include "ops/support/channel_rows.h"
#include "ops/support/channel_statistics.h"

namespace fovea {

// How batch_norm() normalises.
struct BatchNormOptions {
  bool training = true;    // statistics of this batch; otherwise the running averages
  double epsilon = 1e-3;   // EfficientNet's
  double momentum = 0.01;  // running = (1 - momentum) running + momentum batch; TensorFlow's decay 0.99
  Activation activation = Activation::identity;
  bool update_running = true;  // in training; false when a forward pass runs again (core/recompute.h)
  // In training, statistics cover the rows of all processes of this group; null: of this process only.
  ProcessGroup* process_group = nullptr;
};

// The parameters and running averages of a batch norm.
struct BatchNormTensors {
  Tensor weight, bias, running_mean, running_variance;  // (C) each
};

// y = x * scale + shift before the activation; the backward pass needs all four. (segments, C) each.
struct NormCoefficients {
  Tensor scale, shift, mean, inverse_std;

  NormCoefficients(const Tensor& weight, int64_t segments);  // not yet computed
  template <class R>
  BatchNormCoefficients<R> pointers() const {
    return {scale.data<R>(), shift.data<R>(), mean.data<R>(), inverse_std.data<R>()};
  }
};

double inverse_std_of(double variance, double epsilon);

// The inputs of an op that normalises x.
struct NormInputs {
  const Tensor& x;
  const std::vector<BatchNormTensors>& norms;  // one for each segment; one on the CPU
  const BatchNormOptions& options;
  const ChannelStatistics* statistics;  // if the producer of x gathered them; otherwise null
  BatchNormDims dims;

  // Computes the coefficients, and updates the running averages if the options ask for it. T: float, double.
  template <class T>
  void coefficients_cpu(const NormCoefficients& to) const;
  // y = activation(x * scale + shift), after computing the coefficients. `op` is the name for errors.
  void normalize(const char* op, const NormCoefficients& to, const Tensor& y) const;
  // What coefficients_cpu() reads, for the kernels of cuda/kernels/batch_norm.h.
  template <class R>
  BatchNormTable<R> table() const {
    BatchNormTable<R> result;
    result.epsilon = R(options.epsilon);
    result.momentum = R(options.momentum);
    const bool running = !options.training || options.update_running;
    for (size_t i = 0; i < norms.size(); ++i) {
      const auto& [weight, bias, mean, variance] = norms[i];
      result.of[i] = {weight.data<R>(), bias.data<R>(), running ? mean.data<R>() : nullptr,
                      running ? variance.data<R>() : nullptr};
    }
    return result;
  }
  template <class R>
  BatchNormChunks<R> given() const {
    const Tensor rows = statistics ? statistics->chunk_rows() : Tensor();
    if (!rows.defined()) return {};
    return {rows.numel(), rows.data<int>(), statistics->chunk_statistics().data<R>()};
  }
};

// y = f(x * scale + shift) for `rows` of the group's channels, whose coefficients the group repeats. y may be
// x.
template <class F, class T>
void normalize_rows(const RowGroup& group, const T* x, const std::vector<T>& scale,
                    const std::vector<T>& shift, T* y, int64_t rows) {
  group.each(rows, [&](int64_t at, int64_t count) {
#pragma omp simd
    for (int64_t j = 0; j < count; ++j)
      y[at + j] = F::forward(x[at + j] * scale[size_t(j)] + shift[size_t(j)]);
  });
}

// The backward pass on the CPU, with z = x * scale + shift and g = dy f'(z): writes g, sum g and sum g (x -
// mean). g may be dy, and where there is no activation is not written, because it is dy.
template <class F, class T>
void batch_norm_gradient_sums(const T* x, const T* dy, const BatchNormCoefficients<T>& norm, T* g, T* sum_g,
                              T* sum_gx, const BatchNormDims& dims);
// dx = scale * g - constant - x * slope for some rows, with coefficients that the group repeats. dx may be g.
template <class T>
void norm_gradient_rows(const RowGroup& group, int64_t rows, const T* x, const T* g,
                        const std::vector<T>& scale, const std::vector<T>& constant,
                        const std::vector<T>& slope, T* dx) {
  group.each(rows, [&](int64_t at, int64_t count) {
#pragma omp simd
    for (int64_t j = 0; j < count; ++j)
      dx[at + j] = scale[size_t(j)] * g[at + j] - constant[size_t(j)] - x[at + j] * slope[size_t(j)];
  });
}

// With z = x * scale + shift and g = dL/dz: given sum g and sum g (x - mean) over the rows of this process,
// computes dL/dx = scale * g - constant - x * slope. With the batch's own statistics, constant and slope
// carry the terms of mean and variance (arXiv 1502.03167, section 3) over the rows of all processes of the
// group; with running averages they are 0. sum_gx becomes the gradient of the weight; sum_g is that of the
// bias.
template <class T>
void batch_norm_gradient_terms(const BatchNormCoefficients<T>& norm, const BatchNormOptions& options,
                               int64_t rows, int64_t channels, const T* sum_g, T* sum_gx, T* constant,
                               T* slope);

// Throws, in the name of the op, if a norm does not fit x, or the given statistics are of another tensor.
void check_norm(const char* op, const Tensor& x, const BatchNormTensors& norm);
// Also if the segments do not fit x (N, P, C); otherwise returns its dims.
BatchNormDims dims_of_segments(const char* op, const Tensor& x, const std::vector<int64_t>& segments,
                               const std::vector<BatchNormTensors>& norms);
void check_statistics(const char* op, const Tensor& x, const ChannelStatistics* statistics);

}  // namespace fovea
