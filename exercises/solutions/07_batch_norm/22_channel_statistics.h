// Exercise 22: the mean and variance of each channel
#pragma once
#include <cstdint>
#include <vector>

// x holds rows of `channels` numbers, one row after another: an {N, H, W, C} tensor has N * H * W rows. At
// least one row.
//   mean_c = sum over rows of x_c / rows,   variance_c = sum over rows of (x_c - mean_c)^2 / rows
// E[x^2] - E[x]^2 is the same number on paper. In floating point it subtracts two large numbers that agree in
// most digits: with a mean of 1e9 and a variance of 1 nothing is left of it, not even in double.
struct ChannelStatistics {
  std::vector<double> mean, variance;
};
inline ChannelStatistics channel_statistics(const std::vector<double>& x, std::size_t channels) {
  ChannelStatistics s{std::vector<double>(channels), std::vector<double>(channels)};
  const double rows = double(x.size() / channels);
  for (std::size_t i = 0; i < x.size(); ++i) s.mean[i % channels] += x[i];
  for (double& mean : s.mean) mean /= rows;
  // A second pass, about the mean. Welford's update does it in one, with a division for each number.
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double distance = x[i] - s.mean[i % channels];
    s.variance[i % channels] += distance * distance;
  }
  for (double& variance : s.variance) variance /= rows;
  return s;
}
