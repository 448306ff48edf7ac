#include <fovea/ops/detection_loss.h>

#include "check.h"

#include <27_huber_loss.h>

using namespace fovea::learn;

namespace {

void expect_huber(double prediction, double target, double delta, double loss, double derivative) {
  const LossAndDerivative got = huber_loss(prediction, target, delta);
  expect_close(got.loss, loss,
               fmt::format("loss of prediction {}, target {}, delta {}", prediction, target, delta), 1e-12);
  expect_close(got.derivative, derivative,
               fmt::format("derivative at prediction {}, target {}, delta {}", prediction, target, delta),
               1e-12);
}

}  // namespace

STEP("no error, no loss") { expect_huber(3, 3, 1, 0, 0); }

STEP("near the target it is half the square") {
  expect_huber(1.5, 1, 1, 0.125, 0.5);
  expect_huber(0.5, 1, 1, 0.125, -0.5);
}

STEP("far away it is a line of slope delta, and of the right sign") {
  expect_huber(4, 1, 1, 2.5, 1);
  expect_huber(-2, 1, 1, 2.5, -1);
  expect_huber(10, 0, 0.1, 0.1 * 9.95, 0.1);
}

STEP("the pieces meet") {
  for (double e : {-0.5, 0.5}) {
    const LossAndDerivative in = huber_loss(e * (1 - 1e-9), 0, 0.5), out = huber_loss(e * (1 + 1e-9), 0, 0.5);
    expect_close(in.loss, out.loss, fmt::format("loss on both sides of the error {}", e));
    expect_close(in.derivative, out.derivative, fmt::format("derivative on both sides of the error {}", e));
  }
}

STEP("the derivative is that of the loss") {
  for (double e : {-3.0, -0.7, 0.2, 0.45, 5.0})
    expect_gradient(
        std::vector{huber_loss(e, 0, 0.5).derivative}, [](auto v) { return huber_loss(v[0], 0, 0.5).loss; },
        std::vector{e}, fmt::format("derivative at {}", e));
}

STEP("the same as Fovea's huber_loss, which divides by 4 times the normalizer") {
  const std::vector<double> p = sample(12), t = sample(12, 2);
  double sum = 0;
  for (size_t i = 0; i < 12; ++i) sum += huber_loss(p[i], t[i], 0.1).loss;
  const fovea::DType d = fovea::DType::float64;
  expect_close(
      sum / (4 * 3.0),
      fovea::huber_loss(fovea::from_values({3, 4}, p, d), fovea::from_values({3, 4}, t, d), 3.0).item(),
      "the sum over 12 codes / (4 * 3)", 1e-9);
}
