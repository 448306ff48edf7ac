#pragma once
#include <memory>
#include <vector>

#include "cuda/runtime/graph.h"
#include "train/loop/gradient_step.h"
#include "train/optim/ema.h"
#include "train/optim/optimizer.h"

namespace fovea {

// Complete steps of a training: batches, gradients, the optimizer's update and that of the averaged weights.
// On CUDA the first two steps run directly, the third is captured as a graph, and the graph is replayed from
// then on. If inputs vary in size (config.multi_scale) or the group cannot be captured, all steps run
// directly.
class TrainingStep {
 public:
  TrainingStep(Task& task, const TrainConfig& config, ProcessGroup& group = single_process());

  // Prepares steps first .. end - 1, which must be run in order.
  void start(int64_t first, int64_t end) { gradients_.start(first, end); }
  // On CUDA the device may still be at work when it returns. `frozen`: batch norms normalise by their running
  // averages; when this changes, the step is captured again.
  void run(int64_t step, double learning_rate, bool frozen);

  // The mean of each loss over the steps since the last call: steps_unread() of them, at least one. On CUDA
  // the host waits.
  NamedValues take_losses();
  int64_t steps_unread() const { return unread_; }

  GradientStep& gradients() { return gradients_; }
  const Optimizer& optimizer() const { return optimizer_; }
  const Ema& ema() const { return ema_; }

 private:
  void prepare_update(int64_t step, double learning_rate);
  void compute();

  Task& task_;
  bool capturable_;
  GradientStep gradients_;
  Optimizer optimizer_;
  Ema ema_;
  std::vector<NamedTensor> losses_;  // of the latest step, on the network's device
  std::vector<Tensor> sums_;         // of each loss over the steps since take_losses(), on the same device
  int64_t unread_ = 0;               // how many steps these are
  std::unique_ptr<cuda::Graph> graph_;
  bool frozen_ = false;
};

}  // namespace fovea
