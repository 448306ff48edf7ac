// Exercise 58: train a detector with your optimizer
#pragma once
#include <milestone.h>

#include <12_optimizers/39_adamw.h>
#include <12_optimizers/40_warmup_cosine.h>
#include <12_optimizers/41_ema_weights.h>

// Give the training your functions of exercises 39, 40 and 41. OwnParts (exercises/support/milestone.h) has
//   learning_rate(step)             milestone_rate after 50 warm-up steps, 0 at milestone_steps
//   update(weights, momentum, variance, gradient, step, rate)
//                                   with beta1 0.9, beta2 0.99, epsilon 1e-8 and decay 4e-5
//   average(average, weights, step) with decay 0.98
inline fovea::learn::OwnParts own_optimizer() {
  fovea::learn::OwnParts parts;
  using fovea::learn::milestone_rate, fovea::learn::milestone_steps;
  parts.learning_rate = [](int64_t step) { return warmup_cosine(step, milestone_rate, 50, milestone_steps); };
  parts.update = [](std::vector<double>& weights, std::vector<double>& momentum,
                    std::vector<double>& variance, const std::vector<double>& gradient, int64_t step,
                    double rate) {
    adamw(weights, momentum, variance, gradient, step, rate, 0.9, 0.99, 1e-8, 4e-5);
  };
  parts.average = [](std::vector<double>& average, const std::vector<double>& weights, int64_t step) {
    update_average(average, weights, step, 0.98);
  };
  return parts;
}
