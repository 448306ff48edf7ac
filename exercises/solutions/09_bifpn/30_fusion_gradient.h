// Exercise 30: the gradient of the fusion
#pragma once
#include <algorithm>
#include <vector>

// With s = epsilon + sum_j max(v_j, 0) and y of exercise 29, from dy:
//   dinput_i = max(v_i, 0) / s * dy
//   dv_i = (sum_k dy_k input_i,k  -  sum_k dy_k y_k) / s   where v_i > 0, else 0
// v_i stands in its own numerator and in everybody's denominator: the second term is the latter.
struct FusionGradients {
  std::vector<std::vector<double>> inputs;
  std::vector<double> weights;
};
inline FusionGradients fuse_backward(const std::vector<std::vector<double>>& inputs,
                                     const std::vector<double>& weights, const std::vector<double>& dy,
                                     double epsilon = 1e-4) {
  FusionGradients d{std::vector<std::vector<double>>(inputs.size(), std::vector<double>(dy.size())),
                    std::vector<double>(weights.size())};
  double sum = epsilon, dy_y = 0;
  for (double v : weights) sum += std::max(v, 0.0);
  std::vector<double> dy_input(inputs.size());  // sum_k dy_k input_i,k
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const double w = std::max(weights[i], 0.0) / sum;
    for (std::size_t k = 0; k < dy.size(); ++k) {
      d.inputs[i][k] = w * dy[k];
      dy_input[i] += dy[k] * inputs[i][k];
    }
    dy_y += w * dy_input[i];  // y is the weighted sum of the inputs, and so is its product with dy
  }
  for (std::size_t i = 0; i < inputs.size(); ++i)
    if (weights[i] > 0) d.weights[i] = (dy_input[i] - dy_y) / sum;
  return d;
}
