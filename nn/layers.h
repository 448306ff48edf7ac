#pragma once
#include "nn/init.h"
#include "nn/module.h"
#include "ops/batch_norm.h"
#include "ops/depthwise_conv2d.h"

namespace fovea {

// Each layer can be made in two ways: as a named part of its parent, which has the random numbers for its
// weights (nn/module.h), or standalone, from given random numbers, for a parent that adds it later.

// The options of a Linear besides its sizes.
struct LinearOptions {
  bool bias = true;
  Init init = Init::fan_in_uniform;
};

// y = x w + bias; x (..., in) -> (..., out). The default initialiser draws weight and bias as PyTorch's
// Linear does; with any other the bias starts at 0.
class Linear : public Module {
 public:
  Linear(Module& parent, const std::string& name, int64_t in, int64_t out, LinearOptions options = {});
  Linear(int64_t in, int64_t out, Random& random, LinearOptions options = {});
  Tensor forward(const Tensor& x) const override;

 private:
  void make_weights(int64_t in, int64_t out, Random& random, LinearOptions options);

  Tensor weight_, bias_;
};

// A 1x1 convolution, without bias where a batch norm follows. weight (in, out)
class PointwiseConv : public Module {
 public:
  PointwiseConv(int64_t in, int64_t out, bool bias, Random& random, Init init = Init::fan_out_normal);
  Tensor forward(const Tensor& x) const override { return forward(x, nullptr); }
  Tensor forward(const Tensor& x, Epilogue* epilogue) const;
  void fill_bias(double value) const { bias_.fill(value); }
  const Tensor& weight() const { return weight_; }
  const Tensor& bias() const { return bias_; }  // undefined where there is none

 private:
  Tensor weight_, bias_;
};

// A depthwise k x k convolution, k 3 or 5, stride 1 or 2, without bias. weight (k, k, channels)
class DepthwiseConv2d : public Module {
 public:
  DepthwiseConv2d(Module& parent, const std::string& name, int64_t channels, Window window = {},
                  Init init = Init::fan_in_uniform);
  DepthwiseConv2d(int64_t channels, Window window, Random& random, Init init = Init::fan_out_normal);
  Tensor forward(const Tensor& x) const override { return forward(x, nullptr); }
  Tensor forward(const Tensor& x, Epilogue* epilogue) const;
  const Tensor& weight() const { return weight_; }
  // The same in every level of a pyramid (N, P, channels), with stride 1 and k / 2 zeros around each.
  Tensor forward(const Tensor& x, const PyramidShape& shape) const;

 private:
  void make_weights(int64_t channels, Random& random, Init init);

  Window window_;
  Tensor weight_;
};

// The options of a dense convolution. The default initialiser draws weight and bias as PyTorch's Conv2d does;
// with any other the bias starts at 0.
struct Conv2dOptions {
  int64_t in = 0, out = 0;  // channels
  int kernel = 3, stride = 1;
  Padding padding = Padding::same;
  bool bias = true;  // leave it out where a batch norm follows
  Init init = Init::fan_in_uniform;
};

// A dense k x k convolution of images (N, H, W, in) -> (N, H', W', out). weight (k, k, in, out)
class Conv2d : public Module {
 public:
  Conv2d(Module& parent, const std::string& name, const Conv2dOptions& options);
  // Without a bias, as in EfficientNet's stem.
  Conv2d(int64_t in, int64_t out, Window window, Random& random);
  Tensor forward(const Tensor& x) const override { return forward(x, nullptr); }
  Tensor forward(const Tensor& x, Epilogue* epilogue) const;

 private:
  void make_weights(const Conv2dOptions& options, Random& random);

  Window window_;
  Tensor weight_, bias_;
};

// The constants of a batch norm (BatchNormOptions): those of the EfficientNet and EfficientDet papers' code.
struct NormOptions {
  double epsilon = 1e-3;
  double momentum = 0.01;
};

// Batch norm and the activation after it. Weight starts at 1, bias and running mean at 0, running variance
// at 1.
class BatchNorm : public Module {
 public:
  BatchNorm(Module& parent, const std::string& name, int64_t channels,
            Activation activation = Activation::identity,
            NormOptions options = {.epsilon = 1e-5, .momentum = 0.1});  // PyTorch's
  BatchNorm(int64_t channels, Activation activation, NormOptions options = {});
  Tensor forward(const Tensor& x) const override { return forward(x, nullptr); }
  Tensor forward(const Tensor& x, const ChannelStatistics* statistics) const;
  bool uses_batch_statistics() const { return training() && !frozen_; }
  // In evaluation, for a convolution to apply; its output `y` is then traced as this layer's output.
  EvaluationNorm evaluation_norm() const { return {tensors(), options_}; }
  void trace_output(const Tensor& y) const;
  // The arguments of batch_norm().
  BatchNormTensors tensors() const { return {weight_, bias_, running_mean_, running_variance_}; }
  BatchNormOptions options() const;
  void freeze_statistics(bool frozen) override { frozen_ = frozen || frozen_for_good_; }
  void freeze() override;
  void set_process_group(ProcessGroup* group) override { options_.process_group = group; }

 private:
  void make_weights(int64_t channels);

  bool frozen_ = false, frozen_for_good_ = false;
  BatchNormOptions options_;
  Tensor weight_, bias_, running_mean_, running_variance_;
};

// In training, sets each number to 0 with this probability and divides the others by 1 - probability (arXiv
// 1207.0580). It draws from the network's rng().
class Dropout : public Module {
 public:
  // Throws Error if the probability is not in [0, 1).
  Dropout(Module& parent, const std::string& name, double probability = 0.5);
  Tensor forward(const Tensor& x) const override;

 private:
  double probability_;
};

// y = weight (x - mean) / sqrt(variance + epsilon) + bias over the last axis of x (..., channels), with the
// mean and (biased) variance of each position (arXiv 1607.06450). Weight starts at 1, bias at 0.
class LayerNorm : public Module {
 public:
  LayerNorm(Module& parent, const std::string& name, int64_t channels, double epsilon = 1e-5);
  Tensor forward(const Tensor& x) const override;

 private:
  double epsilon_;
  Tensor weight_, bias_;
};

// max_pool2d() as a layer, for a Sequential.
class MaxPool2d : public Module {
 public:
  MaxPool2d(Module& parent, const std::string& name, Window window = {2, 2, Padding::valid});
  Tensor forward(const Tensor& x) const override;

 private:
  Window window_;
};

// norm(conv(x)). The statistics are gathered, or in evaluation the norm is applied, where the convolution's
// output is made: on the CPU while it is still in the cache, on CUDA in the kernel, if that supports it.
template <class Convolution>
Tensor conv_norm(const Convolution& conv, const BatchNorm& norm, const Tensor& x) {
  if (!norm.uses_batch_statistics()) {
    if (!EvaluationNorm::takes()) return norm.forward(conv.forward(x));
    EvaluationNorm normalize = norm.evaluation_norm();
    const Tensor y = conv.forward(x, &normalize);
    if (!normalize.applied()) return norm.forward(y);
    norm.trace_output(y);
    return y;
  }
  ChannelStatistics statistics(norm.options().process_group);
  const Tensor y = conv.forward(x, &statistics);
  return norm.forward(y, &statistics);
}

// The same, where training computes the gradients of both in one op (ops/conv1x1_batch_norm.h).
Tensor conv_norm(const PointwiseConv& conv, const BatchNorm& norm, const Tensor& x);

}  // namespace fovea
