#pragma once
#include <optional>
#include <vector>

#include "nn/module.h"
#include "train/optim/flat_parameters.h"
#include "train/optim/multi_tensor_table.h"
#include "train/optim/step_scalars.h"

namespace fovea {

// Which rule the optimizer follows, and its constants.
struct OptimizerOptions {
  // The rule, as written at Optimizer.
  enum class Kind { sgd, adamw };
  Kind kind = Kind::sgd;
  double momentum = 0.9;
  double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8;  // of AdamW
  double weight_decay =
      4e-5;  // of kernels (tensors of rank 2 and more), never of biases, norms and fusion weights
  double clip_norm =
      10;  // gradients whose norm over all parameters is greater are scaled down to it; 0: never
};

// SGD with momentum, as in the EfficientDet code:
//   g += decay w;  m = momentum m + g;  w -= rate m
// AdamW (1711.05101), with m', v' divided by 1 - b^t:
//   m = b1 m + (1 - b1) g;  v = b2 v + (1 - b2) g^2;  w -= rate (m' / (sqrt(v') + eps) + decay w)
// All sums have a fixed order.
//
// It runs where the parameters are. On CUDA apply() is three launches however many parameters there are,
// waits for nothing and may be captured in a graph: then each step is prepare(), the graph's replay, and, if
// wanted, norm(). Right after a capture prepare() must be called once more, before the first replay.
class Optimizer {
 public:
  Optimizer(std::vector<NamedTensor> parameters, const OptimizerOptions& options);

  // Decides on what changes from step to step, outside of a graph; `step` counts from 0.
  void prepare(int64_t step, double learning_rate);

  // One update from the gradients of the parameters; one without a gradient stays as it is. Where the norm of
  // all gradients is not finite nothing is changed.
  void apply();

  // Of the latest update: the norm of all gradients before clipping. On CUDA the host waits for it.
  double norm() const;
  // Updates so far that were left out because the norm was not finite: for those who look at norm() now and
  // then. On CUDA the host waits.
  int64_t skipped() const;
  // Where there is one, the number of the first of them, counted from the optimizer's first update.
  int64_t first_skipped() const;

  // The three in a row; returns the norm.
  double update(int64_t step, double learning_rate);

  // What a checkpoint must hold besides the weights: "<parameter>.momentum" and, for AdamW,
  // "<parameter>.variance".
  std::vector<NamedTensor> state() const;

 private:
  double gradient_norm() const;
  void apply_cpu();
  void apply_cuda();
  std::vector<cuda::OptimizedTensor> rows() const;
  cuda::GradientNorm result() const;
  float decay_of(const Tensor& weight) const {
    return weight.rank() >= 2 ? float(options_.weight_decay) : 0.0f;
  }

  OptimizerOptions options_;
  std::vector<NamedTensor> parameters_;
  FlatParameters pieces_;
  Device device_;
  std::vector<Tensor> momentum_, variance_;
  StepScalars<3> step_;        // those of cuda::OptimizerStep
  cuda::GradientNorm norm_{};  // of the CPU
  std::optional<cuda::Workspace<cuda::GradientNorm>> device_norm_;
  std::optional<MultiTensorTables<cuda::OptimizedTensor>> tables_;
};

}  // namespace fovea
