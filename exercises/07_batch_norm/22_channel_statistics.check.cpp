#include "check.h"

#include <22_channel_statistics.h>

using namespace fovea::learn;

STEP("one channel: {1, 2, 6}") {
  const ChannelStatistics s = channel_statistics({1, 2, 6}, 1);
  expect_close(s.mean, std::vector<double>{3}, "mean");
  expect_close(s.variance, std::vector<double>{14.0 / 3},
               "variance (divided by the number of rows, not by one less)");
}

STEP("each channel has its own") {
  const ChannelStatistics s = channel_statistics({0, 10, 2, 30}, 2);  // rows {0, 10} and {2, 30}
  expect_close(s.mean, std::vector<double>{1, 20}, "means of rows {0, 10} and {2, 30}");
  expect_close(s.variance, std::vector<double>{1, 100}, "variances of rows {0, 10} and {2, 30}");
}

STEP("one row: the variance is 0") {
  const ChannelStatistics s = channel_statistics({5, -7, 0.25}, 3);
  expect_close(s.mean, std::vector<double>{5, -7, 0.25}, "mean");
  expect_close(s.variance, std::vector<double>{0, 0, 0}, "variance");
}

STEP("a mean of 1e9 costs no digits") {
  expect_close(channel_statistics({1e9 - 1, 1e9 + 1}, 1).variance, std::vector<double>{1},
               "variance of {1e9 - 1, 1e9 + 1}");
}

STEP("1001 rows of 5 channels") {
  const std::vector<double> x = sample(1001 * 5);
  std::vector<double> mean(5), variance(5);
  for (size_t i = 0; i < x.size(); ++i) mean[i % 5] += x[i] / 1001;
  for (size_t i = 0; i < x.size(); ++i) variance[i % 5] += (x[i] - mean[i % 5]) * (x[i] - mean[i % 5]) / 1001;
  const ChannelStatistics s = channel_statistics(x, 5);
  expect_close(s.mean, mean, "mean", 1e-10);
  expect_close(s.variance, variance, "variance", 1e-10);
}
