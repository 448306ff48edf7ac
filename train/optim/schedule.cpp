#include "train/optim/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace fovea {

double WarmupCosine::operator()(int64_t step) const {
  constexpr double start = 0.1;
  if (step < warmup_steps) return peak * (start + (1 - start) * double(step) / double(warmup_steps));
  const double progress =
      double(step - warmup_steps) / double(std::max<int64_t>(1, total_steps - warmup_steps));
  return peak * 0.5 * (1 + std::cos(std::numbers::pi * std::min(progress, 1.0)));
}

double StepDecay::operator()(int64_t step) const {
  return start * std::pow(factor, double(step / std::max<int64_t>(1, interval)));
}

}  // namespace fovea
