#pragma once
#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <string>

#include "nn/module.h"
#include "train/loop/anomaly_check.h"
#include "train/loop/config.h"

namespace fovea {

// Says in words where the first number that is not finite came from: "the first number that is not finite is
// in the output of conv1x1 with class_net.predict.conv_pw.weight (4x8x8x81)".
std::string describe(const NonFinite& found);

// Runs a step again, which computes forward and backward pass, and looks at each op's numbers on the way.
// Leaves other gradients and running averages, and those that were not finite at 1: for a training that
// ends.
std::optional<NonFinite> find_non_finite(const Module& model, const std::function<void()>& step);

// What to do about it, by what is known: the step, the learning rate in it, and where it began.
std::string advice_on_divergence(const TrainConfig& config, int64_t step, double learning_rate,
                                 const std::optional<NonFinite>& found);

// Notices a training that gets worse and worse while its loss is still a number.
class LossWatch {
 public:
  // The smoothed loss after so many steps. Returns one sentence, once: when it has been above three times its
  // best, and a tenth of its first, for a hundred steps.
  std::optional<std::string> see(int64_t step, double loss);

 private:
  double first_ = -1, best_ = std::numeric_limits<double>::infinity();
  int64_t best_step_ = 0, above_since_ = -1;
  bool told_ = false;
};

}  // namespace fovea
