#pragma once
#include <cstdint>

namespace fovea {

// Linear warm-up from a tenth of the peak, then half a cosine down to 0 at total_steps (google/automl,
// lr_schedule cosine).
struct Schedule {
  double peak = 0.01;
  int64_t warmup_steps = 0, total_steps = 1;

  double learning_rate(int64_t step) const;  // step 0 .. total_steps - 1
};

}  // namespace fovea
