// Exercise 40: the learning rate of a step
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numbers>

// In the first `warmup` steps the rate climbs linearly from a tenth of `peak` towards `peak`, which step
// `warmup` has. From there it falls along half a cosine: peak (1 + cos(pi p)) / 2, where p grows from 0 at
// step `warmup` to 1 at step `total`. Later steps have 0. step >= 0; 0 <= warmup < total.
inline double warmup_cosine(int64_t step, double peak, int64_t warmup, int64_t total) {
  if (step < warmup) return peak * (0.1 + 0.9 * double(step) / double(warmup));
  const double progress = std::min(1.0, double(step - warmup) / double(total - warmup));
  return peak * (1 + std::cos(std::numbers::pi * progress)) / 2;
}
