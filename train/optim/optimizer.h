#pragma once
#include <optional>
#include <vector>

#include "nn/module.h"
#include "train/optim/flat_parameters.h"
#include "train/optim/multi_tensor_table.h"
#include "train/optim/schedule.h"
#include "train/optim/step_scalars.h"

namespace fovea {

// The optimizer's update rule and its constants.
struct OptimizerOptions {
  // The rules are written at Optimizer.
  enum class Kind { sgd, adam, adamw };
  Kind kind = Kind::sgd;
  double learning_rate = 0.01;  // of step(), if no schedule is set
  double momentum = 0.9;
  double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8;  // of Adam and AdamW
  // Applies to kernels (tensors of rank 2 and more), never to biases, norms and fusion weights.
  double weight_decay = 4e-5;
  // Gradients whose norm over all parameters is greater are scaled down to it; 0: never.
  double clip_norm = 10;
};

// Parameters with their own settings.
struct ParameterGroup {
  std::vector<NamedTensor> parameters;
  double learning_rate_factor = 1;     // multiplies the common learning rate
  std::optional<double> weight_decay;  // replaces the common weight decay
};

// SGD with momentum, as in the EfficientDet code:
//   g += decay w;  m = momentum m + g;  w -= rate m
// Adam (1412.6980) and AdamW (1711.05101), with m', v' divided by 1 - b^t; Adam adds the decay to g, AdamW to
// the update:
//   m = b1 m + (1 - b1) g;  v = b2 v + (1 - b2) g^2;  w -= rate (m' / (sqrt(v') + eps) + decay w)
// All sums have a fixed order.
//
// It runs on the parameters' device. Your own training loop calls clear_gradients() and step(). On CUDA an
// update is two launches however many parameters there are, and waits for nothing. In a graph (CapturedStep
// does this) each step is prepare(), the graph's replay of apply(), and, if needed, norm(). Right after a
// capture prepare() must be called once more, before the first replay.
class Optimizer {
 public:
  Optimizer(std::vector<NamedTensor> parameters, const OptimizerOptions& options);
  Optimizer(const std::vector<ParameterGroup>& groups, const OptimizerOptions& options);

  OptimizerOptions::Kind kind() const { return options_.kind; }  // the update rule
  void clear_gradients() const;                                  // call it before the next backward pass
  // Updates the parameters once from their gradients, at the learning rate of the options or the schedule. A
  // parameter without a gradient stays as it is. If the norm of all gradients is not finite, nothing changes
  // and skipped() grows by one: a loop that checks it now and then, on CUDA not in each step, notices a
  // training that diverges.
  void step();
  // Sets the learning rate of each step from now on, by its number, which counts from 0.
  void set_schedule(LearningRateSchedule schedule) { schedule_ = std::move(schedule); }
  double learning_rate() const;                      // of the next step()
  int64_t steps() const { return steps_; }           // done by step() and prepare_step()
  void set_steps(int64_t steps) { steps_ = steps; }  // to continue where another optimizer stopped

  // step() in two parts: this first one computes what changes from step to step, outside a graph; the second
  // is apply().
  void prepare_step();
  // The same for the caller's step, which counts from 0, and learning rate.
  void prepare(int64_t step, double learning_rate);
  void apply();

  // The norm of all gradients in the latest update, before clipping. On CUDA the host waits for it.
  double norm() const;
  // The number of updates so far that were skipped because the norm was not finite, for a loop that reads
  // norm() only now and then. On CUDA the host waits.
  int64_t skipped() const;
  // The number of the first skipped update, if there is one, counted from the optimizer's first update.
  int64_t first_skipped() const;

  // prepare(), apply() and norm() in a row.
  double update(int64_t step, double learning_rate);

  // What a checkpoint must hold besides the weights and steps(): "<parameter>.momentum" and, for Adam and
  // AdamW, "<parameter>.variance". save_training() (train/optim/training.h) writes it.
  std::vector<NamedTensor> state() const;

 private:
  double gradient_norm() const;
  void apply_cpu();
  void apply_cuda();
  std::vector<cuda::OptimizedTensor> rows() const;
  cuda::GradientNorm result() const;
  bool has_variance() const { return options_.kind != OptimizerOptions::Kind::sgd; }

  OptimizerOptions options_;
  std::vector<NamedTensor> parameters_;
  std::vector<float> rate_factors_, decays_;  // of each parameter
  LearningRateSchedule schedule_;
  int64_t steps_ = 0;
  FlatParameters pieces_;
  Device device_;
  std::vector<Tensor> momentum_, variance_;
  StepScalars<3> step_;        // those of cuda::OptimizerStep
  cuda::GradientNorm norm_{};  // on the CPU
  std::optional<cuda::Workspace<cuda::GradientNorm>> device_norm_;
  std::optional<MultiTensorTables<cuda::OptimizedTensor>> tables_;
};

// The three rules by their names, with PyTorch's defaults.
struct SgdOptions {
  double learning_rate = 1e-2, momentum = 0.9, weight_decay = 0, clip_norm = 0;
};
struct AdamOptions {
  double learning_rate = 1e-3, beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8, weight_decay = 0, clip_norm = 0;
};
struct AdamWOptions {
  double learning_rate = 1e-3, beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8, weight_decay = 0.01, clip_norm = 0;
};

// Stochastic gradient descent with momentum, on parameters or on groups of them.
class SGD : public Optimizer {
 public:
  // All parameters have the same settings.
  explicit SGD(std::vector<NamedTensor> parameters, const SgdOptions& options = {});
  // Groups with their own learning rates and decays.
  explicit SGD(const std::vector<ParameterGroup>& groups, const SgdOptions& options = {});
};
// Adam, whose weight decay is part of the gradient.
class Adam : public Optimizer {
 public:
  // All parameters have the same settings.
  explicit Adam(std::vector<NamedTensor> parameters, const AdamOptions& options = {});
  // Groups with their own learning rates and decays.
  explicit Adam(const std::vector<ParameterGroup>& groups, const AdamOptions& options = {});
};
// Adam with decoupled weight decay.
class AdamW : public Optimizer {
 public:
  // All parameters have the same settings.
  explicit AdamW(std::vector<NamedTensor> parameters, const AdamWOptions& options = {});
  // Groups with their own learning rates and decays.
  explicit AdamW(const std::vector<ParameterGroup>& groups, const AdamWOptions& options = {});
};

}  // namespace fovea
