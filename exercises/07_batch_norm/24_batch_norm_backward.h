// Exercise 24: the backward pass of batch norm
//
// Goal:      Gradients of the input, the weight and the bias, with the statistics depending on the input.
// Builds on: 22, 23
// Minutes:   40
// Source:    arXiv 1502.03167, section 3, the six equations of the backward pass; examples/05_batch_norm
#pragma once
#include <cmath>
#include <cstdint>
#include <vector>

// With xhat = (x - mean) / sqrt(variance + epsilon), and sums over all rows of a channel:
//   dbias = sum dy
//   dweight = sum dy xhat
//   dx = weight / sqrt(variance + epsilon) * (dy - dbias / rows - xhat dweight / rows)
// The last two terms are there because mean and variance depend on x. Derive the formula for dx from the
// paper's six before you use it: it takes half a page.
struct BatchNormGradients {
  std::vector<double> x, weight, bias;
};
inline BatchNormGradients batch_norm_backward(const std::vector<double>& x, const std::vector<double>& dy,
                                              const std::vector<double>& weight,
                                              const std::vector<double>& mean,
                                              const std::vector<double>& variance, double epsilon) {
  const std::size_t channels = mean.size();
  BatchNormGradients d{std::vector<double>(x.size()), std::vector<double>(channels),
                       std::vector<double>(channels)};
  // ---- your code: 9 to 15 lines ----
  (void)dy, (void)weight, (void)variance, (void)epsilon;
  // ---- end ----
  return d;
}
