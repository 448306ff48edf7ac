#include <fovea/ops/detection_loss.h>

#include "check.h"

#include <32_focal_loss_gradient.h>

using namespace fovea::learn;

namespace {

double loss(double logit, bool positive, double alpha, double gamma) {
  const double y = positive ? -logit : logit;
  const double c = std::max(y, 0.0) + std::log1p(std::exp(-std::abs(y)));
  return (positive ? alpha : 1 - alpha) * std::pow(1 / (1 + std::exp(-y)), gamma) * c;
}

}  // namespace

STEP("with gamma 0 it is alpha_t (p - target)") {
  expect_close(focal_loss_derivative(std::log(3), false, 0.5, 0), 0.5 * 0.75, "p = 0.75, negative", 1e-12);
  expect_close(focal_loss_derivative(std::log(3), true, 0.5, 0), 0.5 * -0.25, "p = 0.75, positive", 1e-12);
}

STEP("positives are pushed up, negatives down") {
  for (double x : {-3.0, 0.0, 3.0}) {
    expect(focal_loss_derivative(x, true, 0.25, 1.5) < 0,
           "logit {}, positive: the derivative must be negative", x);
    expect(focal_loss_derivative(x, false, 0.25, 1.5) > 0,
           "logit {}, negative: the derivative must be positive", x);
  }
}

STEP("against central differences") {
  for (bool positive : {true, false})
    for (double x : {-6.0, -1.3, 0.0, 0.4, 5.0})
      for (double gamma : {0.0, 1.5, 2.0})
        expect_gradient(
            std::vector{focal_loss_derivative(x, positive, 0.25, gamma)},
            [&](auto v) { return loss(v[0], positive, 0.25, gamma); }, std::vector{x},
            fmt::format("logit {}, {}, gamma {}", x, positive ? "positive" : "negative", gamma), 1e-8);
}

STEP("logits of 1000") {
  expect_close(focal_loss_derivative(1000, false, 0.25, 1.5), 0.75, "logit 1000, negative", 1e-9);
  expect_close(focal_loss_derivative(-1000, true, 0.25, 1.5), -0.25, "logit -1000, positive", 1e-9);
  expect_close(focal_loss_derivative(-1000, false, 0.25, 1.5), 0, "logit -1000, negative", 1e-12);
}

STEP("the same as the gradient of Fovea's focal_loss") {
  std::vector<double> x = sample(20);
  for (double& v : x) v *= 8;
  const fovea::Tensor logits = fovea::from_values({20, 1}, x, fovea::DType::float64).set_requires_grad();
  std::vector<double> targets, expected;
  for (int i = 0; i < 20; ++i) targets.push_back(i % 3 == 0 ? 0 : -1);
  fovea::focal_loss(logits, fovea::from_values({20}, targets, fovea::DType::int32), 1.0).backward();
  for (size_t i = 0; i < 20; ++i) expected.push_back(focal_loss_derivative(x[i], targets[i] == 0, 0.25, 1.5));
  expect_close(expected, logits.grad().values(), "20 logits", 1e-9);
}
