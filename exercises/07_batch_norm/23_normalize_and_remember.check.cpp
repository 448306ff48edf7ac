#include <fovea/ops/batch_norm.h>

#include "check.h"

#include <23_normalize_and_remember.h>

using namespace fovea::learn;

using fovea::from_values;

STEP("without weight and bias the output has mean 0 and variance 1") {
  Norm norm{{1}, {0}, {0}, {1}};
  // {1, 5}: mean 3, variance 4
  expect_close(batch_norm({1, 5}, {3}, {4}, norm, 0.1, 0), std::vector<double>{-1, 1}, "{1, 5} normalized");
}

STEP("epsilon is added to the variance, under the root") {
  Norm norm{{1}, {0}, {0}, {1}};
  expect_close(batch_norm({0, 6}, {3}, {9}, norm, 0.1, 16), std::vector<double>{-0.6, 0.6},
               "{0, 6} with epsilon 16");
}

STEP("each channel has its weight and bias") {
  Norm norm{{2, 10}, {1, 0}, {0, 0}, {1, 1}};
  expect_close(batch_norm({1, 0, 5, 2}, {3, 1}, {4, 1}, norm, 0.1, 0), std::vector<double>{-1, -10, 3, 10},
               "rows {1, 0} and {5, 2} with weights {2, 10} and biases {1, 0}");
}

STEP("running averages move by the momentum; the variance as the unbiased one") {
  Norm norm{{1}, {0}, {0}, {1}};
  batch_norm({1, 5}, {3}, {4}, norm, 0.25, 0);
  expect_close(norm.running_mean, std::vector<double>{0.75}, "running mean: 0.75 * 0 + 0.25 * 3");
  expect_close(norm.running_variance, std::vector<double>{2.75},
               "running variance: 0.75 * 1 + 0.25 * (4 * 2 / 1)");
}

STEP("one row") {
  Norm norm{{3}, {7}, {2}, {1}};
  expect_close(batch_norm({5}, {5}, {0}, norm, 0.5, 1e-3), std::vector<double>{7},
               "the output of one row is the bias");
  expect_close(norm.running_variance, std::vector<double>{0.5},
               "running variance after one row of variance 0");
}

STEP("the same as Fovea's batch_norm on 35 rows of 3 channels") {
  const std::vector<double> x = sample(105);
  std::vector<double> mean(3), variance(3);
  for (size_t i = 0; i < 105; ++i) mean[i % 3] += x[i] / 35;
  for (size_t i = 0; i < 105; ++i) variance[i % 3] += (x[i] - mean[i % 3]) * (x[i] - mean[i % 3]) / 35;
  Norm norm{{1, 2, -1}, {0, 0.5, 3}, {0, 0, 0}, {1, 1, 1}};
  const fovea::DType d = fovea::DType::float64;
  const fovea::Tensor running_mean = fovea::zeros({3}, d), running_variance = fovea::ones({3}, d);
  const fovea::Tensor y =
      fovea::batch_norm(from_values({5, 7, 3}, x, d), from_values({3}, norm.weight, d),
                        from_values({3}, norm.bias, d), running_mean, running_variance, {.momentum = 0.01});
  expect_close(batch_norm(x, mean, variance, norm, 0.01, 1e-3), y.values(), "output", 1e-9);
  expect_close(norm.running_mean, running_mean.values(), "running mean", 1e-9);
  expect_close(norm.running_variance, running_variance.values(), "running variance", 1e-9);
}
