// Exercise 58: train a detector with your optimizer
//
// Goal:      Your AdamW, your schedule and your average of the weights do the training.
// Builds on: 39, 40, 41
// Minutes:   15
// Source:    arXiv 1911.09070, section 5.1; train/loop/training_step.cpp
// Time limit: 900
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
  // ---- your code: 6 to 10 lines ----
  // ---- end ----
  return parts;
}
