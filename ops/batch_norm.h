#pragma once
#include "core/autograd.h"
#include "cuda/kernels/activation.h"
#include "ops/support/channel_statistics.h"

namespace fovea {

// What batch_norm() does beside normalising.
struct BatchNormOptions {
  bool training = true;    // statistics of this batch; otherwise the running averages
  double epsilon = 1e-3;   // EfficientNet's
  double momentum = 0.01;  // running = (1 - momentum) running + momentum batch; TensorFlow says decay 0.99
  Activation activation = Activation::identity;
  bool update_running = true;  // in training; false where a forward pass is run again (core/recompute.h)
  // Whose rows the statistics are taken over in training, those of all its processes; null: of this one.
  ProcessGroup* process_group = nullptr;
};

// y = activation(weight * (x - mean) / sqrt(variance + epsilon) + bias), per channel (arXiv 1502.03167), in
// one pass. x (..., C) of any rank from 2; weight, bias, running_mean, running_variance (C), all four
// float32 where x is float32 or bfloat16. In training mean and (biased) variance are those of all rows of x,
// and the running averages move towards them, the variance as n / (n - 1) times the batch's as PyTorch does.
// `statistics` are x's own where its producer gathered them, so that x is read once less; otherwise null or
// without any. With a process group the rows are those of all its
// processes, which must have equally many. Needs at least one row; throws on shapes that disagree and
// where a running average requires a gradient: it gets none. Backward keeps
// x alone: the normalised value and the activation's derivative are computed again, which costs arithmetic
// where storing them would cost memory traffic.
Tensor batch_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, const Tensor& running_mean,
                  const Tensor& running_variance, const BatchNormOptions& options,
                  const ChannelStatistics* statistics = nullptr);

// What a batch norm learns and remembers.
struct BatchNormTensors {
  Tensor weight, bias, running_mean, running_variance;  // (C) each
};

// Batch norms side by side, in one pass: x (N, P, C) holds up to 8 segments, segment l being the next
// segments[l] pixels of every image, such as the levels of a pyramid; each is normalised as by the function
// above with norms[l], over its N * segments[l] rows. Throws where the segments do not add up to P, one is
// empty, or their number is not that of the norms.
Tensor batch_norm(const Tensor& x, const std::vector<int64_t>& segments,
                  const std::vector<BatchNormTensors>& norms, const BatchNormOptions& options);

// batch_norm() in evaluation, applied by the convolution before it to its output, where no gradient is
// recorded: on the CPU with the same bits and one pass over memory less, on CUDA by the kernels that can,
// which round once and save two passes and two launches. x (..., C) as for batch_norm().
class EvaluationNorm : public Epilogue {
 public:
  // It lives no longer than the forward pass: parameters on the CPU are read now.
  EvaluationNorm(const BatchNormTensors& norm, const BatchNormOptions& options);
  // Whether a convolution can be given one now.
  static bool takes();

  // Throws where the convolution has another number of channels than the norm.
  void prepare(int64_t rows, int64_t channels, int64_t blocks) override;
  void block(int64_t index, float* values, int64_t rows) override;
  void block(int64_t index, double* values, int64_t rows) override;
  void finish() override { applied_ = true; }
  OutputEpilogue on_cuda(const Tensor& y, int64_t chunks) override;
  bool applied() const { return applied_; }  // on the CPU always in a dry run
  EvaluationNorm of_channels(int64_t begin, int64_t end) const;  // that part of it

 private:
  template <class T>
  void normalize(T* values, int64_t rows) const;

  BatchNormTensors norm_;
  BatchNormOptions options_;
  std::vector<double> scale_, shift_;
  bool applied_;
};

}  // namespace fovea
