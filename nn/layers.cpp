#include "nn/layers.h"

#include <cmath>

#include "core/error.h"
#include "core/recompute.h"
#include "nn/trace.h"
#include "ops/arithmetic.h"
#include "ops/conv1x1_batch_norm.h"
#include "ops/conv2d.h"
#include "ops/dropout.h"
#include "ops/matmul.h"
#include "ops/pool2d.h"
#include "ops/reduction.h"
#include "ops/unary.h"

namespace fovea {
namespace {

std::string window_text(Window window) {
  return fmt::format("{}x{}{}", window.kernel, window.kernel,
                     window.stride == 1 ? "" : fmt::format(" /{}", window.stride));
}

// Drawn from the range of its weight if fan_in_uniform drew that: torch.nn.Linear, torch.nn.Conv2d.
Tensor initial_bias(Init init, int64_t fan_in, int64_t out, Random& random) {
  if (init != Init::fan_in_uniform) return zeros({out});
  const double limit = 1.0 / std::sqrt(double(fan_in));
  return rand({out}, random, -limit, limit);
}

}  // namespace

Linear::Linear(Module& parent, const std::string& name, int64_t in, int64_t out, LinearOptions options)
    : Module(parent, name) {
  make_weights(in, out, rng(), options);
}

Linear::Linear(int64_t in, int64_t out, Random& random, LinearOptions options) {
  make_weights(in, out, random, options);
}

void Linear::make_weights(int64_t in, int64_t out, Random& random, LinearOptions options) {
  require(in > 0 && out > 0, "[Linear] from {} to {} numbers: give sizes of at least 1", in, out);
  weight_ = add_parameter("weight", initialize(options.init, {in, out}, random), WeightLayout::linear);
  if (options.bias) bias_ = add_parameter("bias", initial_bias(options.init, in, out, random));
}

Tensor Linear::forward(const Tensor& x) const {
  const Tensor y = linear(x, weight_, bias_);
  trace(*this, "linear", y, y.numel() * weight_.size(0));
  return y;
}

PointwiseConv::PointwiseConv(int64_t in, int64_t out, bool bias, Random& random, Init init)
    : weight_(add_parameter("weight", initialize(init, {in, out}, random), WeightLayout::pointwise)) {
  if (bias) bias_ = add_parameter("bias", zeros({out}));
}

Tensor PointwiseConv::forward(const Tensor& x, Epilogue* epilogue) const {
  const Tensor y = conv1x1(x, weight_, bias_, epilogue);
  trace(*this, "conv 1x1", y, y.numel() * weight_.size(0));
  return y;
}

DepthwiseConv2d::DepthwiseConv2d(Module& parent, const std::string& name, int64_t channels, Window window,
                                 Init init)
    : Module(parent, name), window_(window) {
  make_weights(channels, rng(), init);
}

DepthwiseConv2d::DepthwiseConv2d(int64_t channels, Window window, Random& random, Init init)
    : window_(window) {
  make_weights(channels, random, init);
}

void DepthwiseConv2d::make_weights(int64_t channels, Random& random, Init init) {
  weight_ = add_parameter("weight", initialize(init, {window_.kernel, window_.kernel, channels}, random),
                          WeightLayout::depthwise);
}

Tensor DepthwiseConv2d::forward(const Tensor& x, Epilogue* epilogue) const {
  const Tensor y = depthwise_conv2d(x, weight_, window_, epilogue);
  trace(*this, "depthwise " + window_text(window_), y, y.numel() * window_.kernel * window_.kernel);
  return y;
}

Tensor DepthwiseConv2d::forward(const Tensor& x, const PyramidShape& shape) const {
  require(window_.stride == 1 && window_.pad_before(window_.kernel) == window_.kernel / 2,
          "[DepthwiseConv2d] stride {}, {} zeros at the edge: in a pyramid they must be 1 and {}",
          window_.stride, window_.pad_before(window_.kernel), window_.kernel / 2);
  const Tensor y = depthwise_conv2d(x, weight_, shape);
  trace(*this, "depthwise " + window_text(window_), y, y.numel() * window_.kernel * window_.kernel);
  return y;
}

Conv2d::Conv2d(Module& parent, const std::string& name, const Conv2dOptions& options)
    : Module(parent, name), window_{options.kernel, options.stride, options.padding} {
  make_weights(options, rng());
}

Conv2d::Conv2d(int64_t in, int64_t out, Window window, Random& random) : window_(window) {
  make_weights({.in = in, .out = out, .bias = false, .init = Init::fan_out_normal}, random);
}

void Conv2d::make_weights(const Conv2dOptions& options, Random& random) {
  const int64_t k = window_.kernel;
  require(options.in > 0 && options.out > 0 && k > 0 && window_.stride > 0,
          "[Conv2d] from {} to {} channels, kernel {}, stride {}: all of them must be at least 1", options.in,
          options.out, k, window_.stride);
  weight_ = add_parameter("weight", initialize(options.init, {k, k, options.in, options.out}, random),
                          WeightLayout::dense);
  if (options.bias)
    bias_ = add_parameter("bias", initial_bias(options.init, k * k * options.in, options.out, random));
}

Tensor Conv2d::forward(const Tensor& x, Epilogue* epilogue) const {
  // The bias is added in a separate pass, after the epilogue.
  require(!epilogue || !bias_.defined(),
          "[Conv2d] a batch norm has a bias: make the convolution before it without a bias (.bias = false)");
  const Tensor y =
      bias_.defined() ? conv2d(x, weight_, bias_, window_) : conv2d(x, weight_, window_, epilogue);
  trace(*this, "conv " + window_text(window_), y,
        y.numel() * window_.kernel * window_.kernel * weight_.size(2));
  return y;
}

BatchNorm::BatchNorm(Module& parent, const std::string& name, int64_t channels, Activation activation,
                     NormOptions options)
    : Module(parent, name), options_{true, options.epsilon, options.momentum, activation} {
  make_weights(channels);
}

BatchNorm::BatchNorm(int64_t channels, Activation activation, NormOptions options)
    : options_{true, options.epsilon, options.momentum, activation} {
  make_weights(channels);
}

void BatchNorm::make_weights(int64_t channels) {
  weight_ = add_parameter("weight", ones({channels}));
  bias_ = add_parameter("bias", zeros({channels}));
  running_mean_ = add_buffer("running_mean", zeros({channels}));
  running_variance_ = add_buffer("running_var", ones({channels}));
}

Dropout::Dropout(Module& parent, const std::string& name, double probability)
    : Module(parent, name), probability_(probability) {
  require(probability >= 0 && probability < 1,
          "[Dropout] the probability is {}: give a number from 0 to below 1", probability);
}

Tensor Dropout::forward(const Tensor& x) const {
  return training() ? dropout(x, probability_, rng().next_random_key()) : x;
}

LayerNorm::LayerNorm(Module& parent, const std::string& name, int64_t channels, double epsilon)
    : Module(parent, name),
      epsilon_(epsilon),
      weight_(add_parameter("weight", ones({channels}))),
      bias_(add_parameter("bias", zeros({channels}))) {}

Tensor LayerNorm::forward(const Tensor& x) const {
  require(x.rank() >= 1 && x.size(-1) == weight_.numel(), "[LayerNorm] x is {}: its last axis must be {}",
          x.shape(), weight_.numel());
  const Tensor centred = x - mean(x, -1, true);
  const Tensor y = centred / sqrt(mean(centred * centred, -1, true) + epsilon_) * weight_ + bias_;
  trace(*this, "layer norm", y, 0);
  return y;
}

MaxPool2d::MaxPool2d(Module& parent, const std::string& name, Window window)
    : Module(parent, name), window_(window) {}

Tensor MaxPool2d::forward(const Tensor& x) const { return max_pool2d(x, window_); }

void BatchNorm::freeze() {
  Module::freeze();
  frozen_ = frozen_for_good_ = true;
}

BatchNormOptions BatchNorm::options() const {
  BatchNormOptions options = options_;
  options.training = uses_batch_statistics();
  options.update_running = !is_recomputing();
  return options;
}

Tensor BatchNorm::forward(const Tensor& x, const ChannelStatistics* statistics) const {
  const Tensor y = batch_norm(x, weight_, bias_, running_mean_, running_variance_, options(), statistics);
  trace_output(y);
  return y;
}

void BatchNorm::trace_output(const Tensor& y) const {
  trace(*this,
        options_.activation == Activation::identity
            ? "batch norm"
            : fmt::format("batch norm + {}", name(options_.activation)),
        y, 0);
}

Tensor conv_norm(const PointwiseConv& conv, const BatchNorm& norm, const Tensor& x) {
  // With a bias, and where each layer's output is shown, they are two ops.
  if (!norm.uses_batch_statistics() || conv.bias().defined() || is_traced())
    return conv_norm<PointwiseConv>(conv, norm, x);
  return conv1x1_batch_norm(x, conv.weight(), norm.tensors(), norm.options());
}

}  // namespace fovea
