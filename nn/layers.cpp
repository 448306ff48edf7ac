#include "nn/layers.h"

#include <cmath>

#include "core/recompute.h"
#include "nn/trace.h"
#include "ops/conv2d.h"
#include "ops/matmul.h"

namespace fovea {
namespace {

std::string window_text(Window window) {
  return fmt::format("{}x{}{}", window.kernel, window.kernel,
                     window.stride == 1 ? "" : fmt::format(" /{}", window.stride));
}

// In the range of its weight (in, out), where that was drawn by fan_in_uniform: torch.nn.Linear.
Tensor initial_bias(Init init, int64_t in, int64_t out, Random& random) {
  if (init != Init::fan_in_uniform) return zeros({out});
  const double limit = 1.0 / std::sqrt(double(in));
  return rand({out}, random, -limit, limit);
}

}  // namespace

Linear::Linear(int64_t in, int64_t out, Random& random, Init init)
    : weight_(add_parameter("weight", initialize(init, {in, out}, random), WeightLayout::linear)),
      bias_(add_parameter("bias", initial_bias(init, in, out, random))) {}

Tensor Linear::forward(const Tensor& x) const {
  const Tensor y = linear(x, weight_, bias_);
  trace(*this, "linear", y, y.numel() * weight_.size(0));
  return y;
}

PointwiseConv::PointwiseConv(int64_t in, int64_t out, bool bias, Random& random, Init init)
    : weight_(add_parameter("weight", initialize(init, {in, out}, random), WeightLayout::pointwise)) {
  if (bias) bias_ = add_parameter("bias", zeros({out}));
}

Tensor PointwiseConv::forward(const Tensor& x, ChannelStatistics* statistics) const {
  const Tensor y = conv1x1(x, weight_, bias_, statistics);
  trace(*this, "conv 1x1", y, y.numel() * weight_.size(0));
  return y;
}

DepthwiseConv::DepthwiseConv(int64_t channels, Window window, Random& random, Init init)
    : window_(window),
      weight_(add_parameter("weight", initialize(init, {window.kernel, window.kernel, channels}, random),
                            WeightLayout::depthwise)) {}

Tensor DepthwiseConv::forward(const Tensor& x, ChannelStatistics* statistics) const {
  const Tensor y = depthwise_conv2d(x, weight_, window_, statistics);
  trace(*this, "depthwise " + window_text(window_), y, y.numel() * window_.kernel * window_.kernel);
  return y;
}

Conv::Conv(int64_t in, int64_t out, Window window, Random& random)
    : window_(window),
      weight_(add_parameter("weight", init_fan_out_normal({window.kernel, window.kernel, in, out}, random),
                            WeightLayout::dense)) {}

Tensor Conv::forward(const Tensor& x, ChannelStatistics* statistics) const {
  const Tensor y = conv2d(x, weight_, window_, statistics);
  trace(*this, "conv " + window_text(window_), y,
        y.numel() * window_.kernel * window_.kernel * weight_.size(2));
  return y;
}

BatchNorm::BatchNorm(int64_t channels, Activation activation, NormOptions options)
    : options_{true, options.epsilon, options.momentum, activation},
      weight_(add_parameter("weight", ones({channels}))),
      bias_(add_parameter("bias", zeros({channels}))),
      running_mean_(add_buffer("running_mean", zeros({channels}))),
      running_variance_(add_buffer("running_var", ones({channels}))) {}

void BatchNorm::freeze() {
  Module::freeze();
  frozen_ = frozen_for_good_ = true;
}

Tensor BatchNorm::forward(const Tensor& x, const ChannelStatistics* statistics) const {
  BatchNormOptions options = options_;
  options.training = uses_batch_statistics();
  options.update_running = !is_recomputing();
  const Tensor y = batch_norm(x, weight_, bias_, running_mean_, running_variance_, options, statistics);
  trace(*this, options_.activation == Activation::swish ? "batch norm + swish" : "batch norm", y, 0);
  return y;
}

}  // namespace fovea
