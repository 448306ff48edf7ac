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

// Describes where the first number that is not finite came from: "the first number that is not finite is in
// the output of conv1x1 with class_net.predict.conv_pw.weight (4x8x8x81)".
std::string describe(const NonFinite& found);

// Repeats a step, which computes the forward and backward pass, and checks each op's numbers. It changes
// gradients and running averages, and sets running averages that were not finite to 1, so it is only for a
// training that is about to end.
std::optional<NonFinite> find_non_finite(const Module& model, const std::function<void()>& step);

// Advice on what to change, from the step, its learning rate, and where the divergence began.
std::string advice_on_divergence(const TrainConfig& config, int64_t step, double learning_rate,
                                 const std::optional<NonFinite>& found);

// Detects a training that keeps getting worse while its loss is still finite.
class LossWatch {
 public:
  // Takes the smoothed loss after `step` steps. Returns a warning once: when the loss has been above three
  // times its best, and a tenth of its first, for a hundred steps.
  std::optional<std::string> see(int64_t step, double loss);

 private:
  double first_ = -1, best_ = std::numeric_limits<double>::infinity();
  int64_t best_step_ = 0, above_since_ = -1;
  bool told_ = false;
};

}  // namespace fovea
