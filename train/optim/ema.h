#pragma once
#include <optional>
#include <vector>

#include "nn/module.h"
#include "train/optim/multi_tensor_table.h"
#include "train/optim/step_scalars.h"

namespace fovea {

// The exponential moving average of a network's parameters and buffers, which evaluates better than the
// weights of the last step (EfficientDet, section 5.1). After step t: average = d average + (1 - d) weights,
// d = min(decay, (1 + t) / (10 + t)).
//
// It runs on the network's device. On CUDA apply() is one launch and may be captured in a graph: prepare()
// must then be called before each replay, also between the capture and the first replay.
class Ema {
 public:
  Ema(const Module& model, double decay);
  void prepare(int64_t step);  // step counts from 0
  void apply();
  void update(int64_t step);  // both in a row

  // Swaps the network's numbers with the averages; a second call swaps them back.
  void swap() const;

  // What a checkpoint holds: the averages under the names of parameters and buffers.
  std::vector<NamedTensor> state() const { return averages_; }

 private:
  cuda::MultiTensorTable<cuda::AveragedTensor> table() const;

  double decay_;
  std::vector<NamedTensor> weights_, averages_;
  Device device_;
  StepScalars<1> step_decay_;                                              // d of the step
  mutable std::optional<MultiTensorTables<cuda::AveragedTensor>> tables_;  // on CUDA: the numbers' addresses
};

// While an EmaScope exists, the network has the averaged weights and is in evaluation mode.
class EmaScope {
 public:
  EmaScope(Module& model, const Ema& ema) : model_(model), ema_(ema) {
    ema_.swap();
    model_.set_training(false);
  }
  ~EmaScope() {
    ema_.swap();
    model_.set_training(true);
  }
  EmaScope(const EmaScope&) = delete;
  EmaScope& operator=(const EmaScope&) = delete;

 private:
  Module& model_;
  const Ema& ema_;
};

}  // namespace fovea
