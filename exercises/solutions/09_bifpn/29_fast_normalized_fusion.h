// Exercise 29: fast normalized fusion
#pragma once
#include <algorithm>
#include <vector>

// The inputs of a node, all of one size, and a learned weight v_i for each:
//   w_i = max(v_i, 0) / (epsilon + sum_j max(v_j, 0)),   y = sum_i w_i input_i
// The weights lie between 0 and 1 and nearly add up to 1, without the exponentials of a softmax. A negative
// v_i switches its input off; with all of them negative y is 0, and epsilon keeps that from being 0 / 0.
inline std::vector<double> fuse(const std::vector<std::vector<double>>& inputs,
                                const std::vector<double>& weights, double epsilon = 1e-4) {
  std::vector<double> y(inputs[0].size());
  double sum = epsilon;
  for (double v : weights) sum += std::max(v, 0.0);
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const double w = std::max(weights[i], 0.0) / sum;
    for (std::size_t k = 0; k < y.size(); ++k) y[k] += w * inputs[i][k];
  }
  return y;
}
