#pragma once
#include <cstdint>
#include <functional>

namespace fovea {

// The learning rate of a step, which counts from 0. The structs below are such functions.
using LearningRateSchedule = std::function<double(int64_t step)>;

// Linear warm-up from a tenth of the peak, then half a cosine down to 0 at total_steps (google/automl,
// lr_schedule cosine).
struct WarmupCosine {
  double peak = 0.01;
  int64_t warmup_steps = 0, total_steps = 1;
  double operator()(int64_t step) const;  // step 0 .. total_steps - 1; later ones are 0
};

// `start`, times `factor` after every `interval` steps.
struct StepDecay {
  double start = 0.01, factor = 0.1;
  int64_t interval = 1;
  double operator()(int64_t step) const;
};

}  // namespace fovea
