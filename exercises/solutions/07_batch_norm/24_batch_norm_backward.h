// Exercise 24: the backward pass of batch norm
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
  const double rows = double(x.size() / channels);
  const auto normalized = [&](std::size_t i) {
    return (x[i] - mean[i % channels]) / std::sqrt(variance[i % channels] + epsilon);
  };
  // The sums over all rows come first: every dx needs them. On a GPU these are two launches, or one with a
  // cluster.
  for (std::size_t i = 0; i < x.size(); ++i) {
    d.bias[i % channels] += dy[i];
    d.weight[i % channels] += dy[i] * normalized(i);
  }
  for (std::size_t i = 0; i < x.size(); ++i) {
    const std::size_t c = i % channels;
    d.x[i] = weight[c] / std::sqrt(variance[c] + epsilon) *
             (dy[i] - (d.bias[c] + normalized(i) * d.weight[c]) / rows);
  }
  return d;
}
