#pragma once
#include <deque>
#include <memory>
#include <vector>

#include "cuda/runtime/process_group.h"
#include "train/data/prefetch.h"
#include "train/loop/config.h"
#include "train/loop/device_batch.h"
#include "train/loop/task.h"

namespace fovea {

// Computes the gradients of one step after another. Background threads prepare the batches ahead of time,
// load() copies those of a step to the device, and compute() runs the forward and backward pass for each of
// them.
class GradientStep {
 public:
  // A step has config.accumulate batches, which workers_for() threads prepare.
  GradientStep(Task& task, const TrainConfig& config, ProcessGroup& group = single_process());

  // Begins to prepare the batches of steps first .. end - 1, which load() must take in order.
  void start(int64_t first, int64_t end);
  // Waits for the batches of the next of these steps, and copies them to the device.
  void load(int64_t step);
  // Stores the gradients of the step's loss in the parameters, and returns that loss and its parts, each one
  // number on the network's device, over all batches of all processes. On CUDA this is captured once and
  // replayed for every step.
  std::vector<NamedTensor> compute();

  // Time that load() spent waiting for its batches.
  double seconds_waited() const { return prefetch_ ? prefetch_->seconds_waited() : 0; }

 private:
  Task& task_;
  ProcessGroup& group_;
  int64_t accumulate_, workers_;
  uint64_t seed_;
  std::vector<NamedTensor> parameters_;
  std::deque<DeviceBatch> batches_;
  std::unique_ptr<Prefetch<Batch>> prefetch_;
};

}  // namespace fovea
