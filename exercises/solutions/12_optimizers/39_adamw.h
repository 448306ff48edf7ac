// Exercise 39: AdamW
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
  // m and v begin at zero, and so are too small at first: after t steps by exactly these factors.
  const double correct1 = 1 - std::pow(beta1, double(step + 1)),
               correct2 = 1 - std::pow(beta2, double(step + 1));
  for (std::size_t i = 0; i < weights.size(); ++i) {
    const double g = gradient[i];
    momentum[i] = beta1 * momentum[i] + (1 - beta1) * g;
    variance[i] = beta2 * variance[i] + (1 - beta2) * g * g;
    const double direction = momentum[i] / correct1 / (std::sqrt(variance[i] / correct2) + epsilon);
    // The decay stands outside of the division by sqrt(v): that is what W means.
    weights[i] -= learning_rate * (direction + weight_decay * weights[i]);
  }
}
