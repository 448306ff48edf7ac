// Exercise 39: AdamW
//
// Goal:      One step of AdamW on the weights of one tensor.
// Builds on: 38
// Minutes:   20
// Source:    arXiv 1711.05101, algorithm 2 (with the schedule in the learning rate); the bias corrections are
//            those of Adam, arXiv 1412.6980, section 3
#pragma once
#include <cmath>
#include <cstdint>
#include <vector>

// All vectors have the same size; `momentum` and `variance` are zero before the first step. `step` counts
// from 0, so the paper's t is step + 1.
//   m = b1 m + (1 - b1) g;   v = b2 v + (1 - b2) g^2
//   w = w - rate (m' / (sqrt(v') + epsilon) + decay w),   m' = m / (1 - b1^t),   v' = v / (1 - b2^t)
inline void adamw(std::vector<double>& weights, std::vector<double>& momentum, std::vector<double>& variance,
                  const std::vector<double>& gradient, int64_t step, double learning_rate, double beta1,
                  double beta2, double epsilon, double weight_decay) {
  // ---- your code: 7 to 10 lines ----
  (void)weights, (void)momentum, (void)variance, (void)gradient, (void)step;
  (void)learning_rate, (void)beta1, (void)beta2, (void)epsilon, (void)weight_decay;
  // ---- end ----
}
