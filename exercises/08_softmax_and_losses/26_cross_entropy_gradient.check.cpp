#include <fovea/ops/cross_entropy.h>

#include "check.h"

#include <26_cross_entropy_gradient.h>

using namespace fovea::learn;

namespace {

double loss(std::span<const double> logits, size_t label, double smoothing) {
  double largest = logits[0], sum = 0, result = 0;
  for (double x : logits) largest = std::max(largest, x);
  for (double x : logits) sum += std::exp(x - largest);
  for (size_t k = 0; k < logits.size(); ++k)
    result -= ((k == label ? 1 - smoothing : 0) + smoothing / double(logits.size())) *
              (logits[k] - largest - std::log(sum));
  return result;
}

}  // namespace

STEP("two equal logits: half for each, minus the label") {
  expect_close(cross_entropy_gradient({0, 0}, 1, 0), std::vector<double>{0.5, -0.5},
               "logits {0, 0}, label 1");
}

STEP("a confident, right answer has almost no gradient") {
  expect_close(cross_entropy_gradient({50, 0, 0}, 0, 0), std::vector<double>{0, 0, 0},
               "logits {50, 0, 0}, label 0", 1e-9);
}

STEP("smoothing pulls a confident answer back") {
  expect_close(cross_entropy_gradient({500, 0}, 0, 0.2), std::vector<double>{0.1, -0.1},
               "logits {500, 0}, label 0, smoothing 0.2");
}

STEP("the gradient sums to 0") {
  double sum = 0;
  for (double g : cross_entropy_gradient(sample(17), 5, 0.1)) sum += g;
  expect_close(sum, 0, "the sum over 17 classes", 1e-12);
}

STEP("against central differences") {
  for (double smoothing : {0.0, 0.1, 0.9}) {
    const std::vector<double> x = sample(11, 3);
    expect_gradient(
        cross_entropy_gradient(x, 4, smoothing), [&](auto v) { return loss(v, 4, smoothing); }, x,
        fmt::format("11 classes, label 4, smoothing {}", smoothing));
  }
}

STEP("the same as Fovea's softmax_cross_entropy") {
  const std::vector<double> x = sample(9, 5);
  const fovea::Tensor logits = fovea::from_values({1, 9}, x, fovea::DType::float64).set_requires_grad();
  fovea::softmax_cross_entropy(logits, fovea::from_values({1}, {2}, fovea::DType::int32), 0.1).backward();
  expect_close(cross_entropy_gradient(x, 2, 0.1), logits.grad().values(), "9 classes, label 2, smoothing 0.1",
               1e-9);
}
