// Exercise 38: SGD with momentum
//
// Goal:      Update the weights of one tensor, and its momentum, from the gradient.
// Builds on: nothing
// Minutes:   10
// Source:    g += decay w; m = momentum m + g; w -= rate m (train/optim/optimizer.h; without the decay
//            Sutskever et al. 2013, section 2)
#pragma once
#include <cstdint>
#include <vector>

// `weights`, `momentum` and `gradient` have the same size; `momentum` is zero before the first step. The
// gradient that the caller holds must stay as it is: the weight decay is added to a copy of each number.
inline void sgd_momentum(std::vector<double>& weights, std::vector<double>& momentum,
                         const std::vector<double>& gradient, double learning_rate, double momentum_factor,
                         double weight_decay) {
  // ---- your code: 4 to 6 lines ----
  (void)weights, (void)momentum, (void)gradient;
  (void)learning_rate, (void)momentum_factor, (void)weight_decay;
  // ---- end ----
}
