// Exercise 23: normalize a batch, and remember its statistics
#pragma once
#include <cmath>
#include <cstdint>
#include <vector>

// y = weight (x - mean) / sqrt(variance + epsilon) + bias for each channel c of each row; mean and variance
// (biased) are those of the batch, already computed. The running averages, which evaluation uses, move
// towards the batch's:
//   running = (1 - momentum) running + momentum batch
// where the variance enters as rows / (rows - 1) times the biased one: the unbiased estimate. With one row
// that factor does not exist; then the biased variance is taken.
struct Norm {
  std::vector<double> weight, bias, running_mean, running_variance;  // one number a channel
};
inline std::vector<double> batch_norm(const std::vector<double>& x, const std::vector<double>& mean,
                                      const std::vector<double>& variance, Norm& norm, double momentum,
                                      double epsilon) {
  const std::size_t channels = mean.size(), rows = x.size() / channels;
  std::vector<double> y(x.size());
  for (std::size_t i = 0; i < x.size(); ++i) {
    const std::size_t c = i % channels;
    y[i] = norm.weight[c] * (x[i] - mean[c]) / std::sqrt(variance[c] + epsilon) + norm.bias[c];
  }
  const double unbiased = rows > 1 ? double(rows) / double(rows - 1) : 1;
  for (std::size_t c = 0; c < channels; ++c) {
    norm.running_mean[c] += momentum * (mean[c] - norm.running_mean[c]);
    norm.running_variance[c] += momentum * (unbiased * variance[c] - norm.running_variance[c]);
  }
  return y;
}
