#include <algorithm>

#include "check.h"

#include <30_fusion_gradient.h>

using namespace fovea::learn;

namespace {

double loss(const std::vector<std::vector<double>>& inputs, std::span<const double> weights,
            std::span<const double> dy) {
  double sum = 1e-4, result = 0;
  for (double v : weights) sum += std::max(v, 0.0);
  for (size_t i = 0; i < inputs.size(); ++i)
    for (size_t k = 0; k < dy.size(); ++k) result += std::max(weights[i], 0.0) / sum * inputs[i][k] * dy[k];
  return result;
}

}  // namespace

STEP("inputs receive their share of dy") {
  const FusionGradients d = fuse_backward({{1}, {1}}, {1, 3}, {8}, 0);
  expect_close(d.inputs[0], std::vector<double>{2}, "dinput_0 with weights 1, 3");
  expect_close(d.inputs[1], std::vector<double>{6}, "dinput_1 with weights 1, 3");
}

STEP("weights: what an input adds, compared with the mean") {
  // inputs 10 and 20, weights 1 and 1: y = 15
  expect_close(fuse_backward({{10}, {20}}, {1, 1}, {1}, 0).weights, std::vector<double>{-2.5, 2.5},
               "dv of inputs 10 and 20");
}

STEP("equal inputs: no weight matters (without epsilon)") {
  expect_close(fuse_backward({{7}, {7}, {7}}, {1, 2, 3}, {1}, 0).weights, std::vector<double>{0, 0, 0},
               "dv of three sevens");
}

STEP("a negative weight has no gradient, and neither has its input") {
  const FusionGradients d = fuse_backward({{1}, {2}}, {-1, 1}, {1});
  expect_close(d.weights[0], 0, "dv_0 with v_0 = -1");
  expect_close(d.inputs[0], std::vector<double>{0}, "dinput_0 with v_0 = -1");
}

STEP("against central differences: three inputs of 5 numbers") {
  const std::vector<std::vector<double>> inputs{sample(5, 1), sample(5, 2), sample(5, 3)};
  const std::vector<double> weights{0.3, 1.2, 0.7}, dy = sample(5, 4);
  const FusionGradients d = fuse_backward(inputs, weights, dy);
  expect_gradient(
      d.weights, [&](auto v) { return loss(inputs, v, dy); }, weights, "dv");
  for (size_t i = 0; i < 3; ++i)
    expect_gradient(
        d.inputs[i],
        [&](auto v) {
          auto changed = inputs;
          changed[i].assign(v.begin(), v.end());
          return loss(changed, weights, dy);
        },
        inputs[i], fmt::format("dinput_{}", i));
}
