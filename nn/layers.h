#pragma once
#include "nn/init.h"
#include "nn/module.h"
#include "ops/batch_norm.h"
#include "ops/depthwise_conv2d.h"

namespace fovea {

// y = x w + bias; x (..., in) -> (..., out). The default initialiser draws weight and bias as PyTorch's
// Linear does; with any other the bias starts at 0.
class Linear : public Module {
 public:
  Linear(int64_t in, int64_t out, Random& random, Init init = Init::fan_in_uniform);
  Tensor forward(const Tensor& x) const;

 private:
  Tensor weight_, bias_;
};

// A 1x1 convolution, without bias where a batch norm follows. weight (in, out)
class PointwiseConv : public Module {
 public:
  PointwiseConv(int64_t in, int64_t out, bool bias, Random& random, Init init = Init::fan_out_normal);
  Tensor forward(const Tensor& x, ChannelStatistics* statistics = nullptr) const;
  void fill_bias(double value) const { bias_.fill(value); }

 private:
  Tensor weight_, bias_;
};

// A depthwise k x k convolution. weight (k, k, channels)
class DepthwiseConv : public Module {
 public:
  DepthwiseConv(int64_t channels, Window window, Random& random, Init init = Init::fan_out_normal);
  Tensor forward(const Tensor& x, ChannelStatistics* statistics = nullptr) const;

 private:
  Window window_;
  Tensor weight_;
};

// A dense k x k convolution. weight (k, k, in, out)
class Conv : public Module {
 public:
  Conv(int64_t in, int64_t out, Window window, Random& random);
  Tensor forward(const Tensor& x, ChannelStatistics* statistics = nullptr) const;

 private:
  Window window_;
  Tensor weight_;
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
  BatchNorm(int64_t channels, Activation activation, NormOptions options = {});
  Tensor forward(const Tensor& x, const ChannelStatistics* statistics = nullptr) const;
  bool uses_batch_statistics() const { return training() && !frozen_; }
  void freeze_statistics(bool frozen) override { frozen_ = frozen || frozen_for_good_; }
  void freeze() override;
  void set_process_group(ProcessGroup* group) override { options_.process_group = group; }

 private:
  bool frozen_ = false, frozen_for_good_ = false;
  BatchNormOptions options_;
  Tensor weight_, bias_, running_mean_, running_variance_;
};

// norm(conv(x)), the statistics taken while the convolution's output is still in the cache.
template <class Convolution>
Tensor conv_norm(const Convolution& conv, const BatchNorm& norm, const Tensor& x) {
  if (!norm.uses_batch_statistics()) return norm.forward(conv.forward(x));
  ChannelStatistics statistics;
  const Tensor y = conv.forward(x, &statistics);
  return norm.forward(y, &statistics);
}

}  // namespace fovea
