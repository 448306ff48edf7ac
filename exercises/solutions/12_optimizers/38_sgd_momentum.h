// Exercise 38: SGD with momentum
#pragma once
#include <cstdint>
#include <vector>

// `weights`, `momentum` and `gradient` have the same size; `momentum` is zero before the first step. The
// gradient that the caller holds must stay as it is: the weight decay is added to a copy of each number.
inline void sgd_momentum(std::vector<double>& weights, std::vector<double>& momentum,
                         const std::vector<double>& gradient, double learning_rate, double momentum_factor,
                         double weight_decay) {
  for (std::size_t i = 0; i < weights.size(); ++i) {
    const double g = gradient[i] + weight_decay * weights[i];
    momentum[i] = momentum_factor * momentum[i] + g;
    // The rate multiplies the momentum, not the gradient: when the rate falls, so does what the past still
    // adds.
    weights[i] -= learning_rate * momentum[i];
  }
}
