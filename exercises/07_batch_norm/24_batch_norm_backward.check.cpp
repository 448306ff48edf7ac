#include <cmath>

#include "check.h"

#include <24_batch_norm_backward.h>

using namespace fovea::learn;

namespace {

struct Batch {
  std::vector<double> x, mean, variance;
};
Batch with_statistics(std::span<const double> values, size_t channels) {
  Batch b{{values.begin(), values.end()}, std::vector<double>(channels), std::vector<double>(channels)};
  const double rows = double(values.size() / channels);
  for (size_t i = 0; i < b.x.size(); ++i) b.mean[i % channels] += b.x[i] / rows;
  for (size_t i = 0; i < b.x.size(); ++i)
    b.variance[i % channels] += std::pow(b.x[i] - b.mean[i % channels], 2) / rows;
  return b;
}

constexpr double epsilon = 1e-3;

// sum dy y, of which all gradients are taken.
double loss(std::span<const double> x, std::span<const double> weight, std::span<const double> bias,
            std::span<const double> dy) {
  const size_t channels = weight.size();
  const Batch b = with_statistics(x, channels);
  double sum = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    const size_t c = i % channels;
    sum += dy[i] * (weight[c] * (x[i] - b.mean[c]) / std::sqrt(b.variance[c] + epsilon) + bias[c]);
  }
  return sum;
}

}  // namespace

STEP("the bias's gradient is the sum of dy, the weight's that of dy xhat") {
  // {1, 5}: mean 3, variance 4, xhat {-1, 1}
  const BatchNormGradients d = batch_norm_backward({1, 5}, {10, 30}, {1}, {3}, {4}, 0);
  expect_close(d.bias, std::vector<double>{40}, "dbias");
  expect_close(d.weight, std::vector<double>{20}, "dweight");
}

STEP("a constant dy changes nothing before the norm: dx is 0") {
  const BatchNormGradients d = batch_norm_backward({1, 5}, {7, 7}, {2}, {3}, {4}, 0);
  expect_close(d.x, std::vector<double>{0, 0},
               "dx (the mean takes a constant away, so dy - dbias / rows is 0)");
}

STEP("dx sums to 0 over the rows, and so does dx xhat but for epsilon") {
  const Batch b = with_statistics(sample(12), 1);
  const BatchNormGradients d = batch_norm_backward(b.x, sample(12, 2), {3}, b.mean, b.variance, 0);
  double sum = 0, product = 0;
  for (size_t i = 0; i < 12; ++i) sum += d.x[i], product += d.x[i] * (b.x[i] - b.mean[0]);
  expect_close(sum, 0, "sum of dx (the term -dbias / rows)", 1e-9);
  expect_close(product, 0, "sum of dx (x - mean) (the term -xhat dweight / rows)", 1e-9);
}

STEP("all three gradients against central differences, 7 rows of 3 channels") {
  const std::vector<double> x = sample(21), dy = sample(21, 2), weight{1, -2, 0.5}, bias{0, 1, 2};
  const Batch b = with_statistics(x, 3);
  const BatchNormGradients d = batch_norm_backward(x, dy, weight, b.mean, b.variance, epsilon);
  expect_gradient(
      d.bias, [&](auto v) { return loss(x, weight, v, dy); }, bias, "dbias");
  expect_gradient(
      d.weight, [&](auto v) { return loss(x, v, bias, dy); }, weight, "dweight");
  expect_gradient(d.x, [&](auto v) { return loss(v, weight, bias, dy); }, x, "dx", 1e-6, {7, 3});
}
