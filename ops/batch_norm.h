#pragma once
#include "core/autograd.h"
#include "ops/support/batch_norm_coefficients.h"

namespace fovea {

// BatchNormOptions and BatchNormTensors are in the header above, because ops that contain a norm share them.

// y = activation(weight * (x - mean) / sqrt(variance + epsilon) + bias), per channel (arXiv 1502.03167), in
// one pass. x (..., C) has rank 2 or more; weight, bias, running_mean and running_variance are (C), all four
// float32 where x is float32 or bfloat16. In training, mean and (biased) variance are those of all rows of x,
// and the running averages move towards them, the variance times n / (n - 1) as in PyTorch. `statistics` are
// those of x if its producer gathered them, which saves one read of x; otherwise null or empty. With a
// process group the rows are those of all its processes, which must have equally many. Needs at least one
// row; throws on shapes that disagree and if a running average requires a gradient, which it would not get.
// The backward pass keeps only x: it computes the normalised value and the activation's derivative again,
// which costs arithmetic where storing them would cost memory traffic.
Tensor batch_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, const Tensor& running_mean,
                  const Tensor& running_variance, const BatchNormOptions& options,
                  const ChannelStatistics* statistics = nullptr);

// Several batch norms in one pass: x (N, P, C) holds up to 8 segments, such as the levels of a pyramid, and
// segment l is the next segments[l] pixels of every image. Each is normalised by the function above with
// norms[l], over its N * segments[l] rows. Throws if the segments do not add up to P, one is empty, or there
// are not as many norms as segments.
Tensor batch_norm(const Tensor& x, const std::vector<int64_t>& segments,
                  const std::vector<BatchNormTensors>& norms, const BatchNormOptions& options);

// batch_norm() in evaluation, applied by the preceding convolution to its output where no gradient is
// recorded. On the CPU it has the same bits and saves one pass over memory; on CUDA the kernels that support
// it round once and save two passes and two launches. x (..., C) as for batch_norm().
class EvaluationNorm : public Epilogue {
 public:
  // Use it for one forward pass only: parameters on the CPU are read now.
  EvaluationNorm(const BatchNormTensors& norm, const BatchNormOptions& options);
  // Whether a convolution can be given one now.
  static bool takes();

  // Throws if the convolution and the norm have different numbers of channels.
  void prepare(int64_t rows, int64_t channels, int64_t blocks) override;
  void block(int64_t index, float* values, int64_t rows) override;
  void block(int64_t index, double* values, int64_t rows) override;
  void finish() override { applied_ = true; }
  OutputEpilogue on_cuda(const Tensor& y, int64_t chunks) override;
  bool applied() const { return applied_; }                      // always true on the CPU in a dry run
  EvaluationNorm of_channels(int64_t begin, int64_t end) const;  // the norm of these channels
  // y = the norm of x (rows, channels), in rows of y that begin `y_row` elements apart, and sums (channels) +=
  // the sum of y over these rows.
  template <class T>
  void apply_and_sum(const T* x, int64_t rows, T* y, int64_t y_row, double* sums) const;

 private:
  template <class T>
  void normalize(T* values, int64_t rows) const;

  BatchNormTensors norm_;
  BatchNormOptions options_;
  std::vector<double> scale_, shift_;
  bool applied_;
};

}  // namespace fovea
