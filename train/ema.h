#pragma once
#include <vector>

#include "nn/module.h"

namespace fovea {

// The exponential moving average of a network's parameters and buffers, which evaluates better than the
// weights of the last step (EfficientDet, section 5.1). After step t: average = d average + (1 - d) weights,
// d = min(decay, (1 + t) / (10 + t)).
class Ema {
 public:
  Ema(const Module& model, double decay);
  void update(int64_t step);  // step counts from 0

  // Exchanges the network's numbers with the averages; a second call changes them back.
  void swap() const;

  std::vector<NamedTensor> state() const { return averages_; }

 private:
  double decay_;
  std::vector<NamedTensor> weights_, averages_;
};

// The network has the averaged weights, and is in evaluation mode, while one of these lives.
class EvaluatesWithEma {
 public:
  EvaluatesWithEma(Module& model, const Ema& ema) : model_(model), ema_(ema) {
    ema_.swap();
    model_.set_training(false);
  }
  ~EvaluatesWithEma() {
    ema_.swap();
    model_.set_training(true);
  }
  EvaluatesWithEma(const EvaluatesWithEma&) = delete;
  EvaluatesWithEma& operator=(const EvaluatesWithEma&) = delete;

 private:
  Module& model_;
  const Ema& ema_;
};

// Parameters and buffers, in order: all numbers that make a trained network.
std::vector<NamedTensor> weights_of(const Module& model);

}  // namespace fovea
