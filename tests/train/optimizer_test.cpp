#include "train/optimizer.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <limits>

using namespace fovea;

namespace {

struct Net {
  Tensor kernel = from_values({2, 2}, {1, -2, 3, 0.5}), bias = from_values({2}, {0.25, -1});
  std::vector<NamedTensor> parameters() {
    kernel.set_requires_grad();
    bias.set_requires_grad();
    return {{"kernel", kernel}, {"bias", bias}};
  }
  void gradients(const std::vector<double>& k, const std::vector<double>& b) const {
    kernel.set_grad(from_values({2, 2}, k));
    bias.set_grad(from_values({2}, b));
  }
};

void check_values(const Tensor& x, const std::vector<double>& expected) {
  const auto values = x.values();
  REQUIRE(values.size() == expected.size());
  for (size_t i = 0; i < values.size(); ++i) CHECK(values[i] == Approx(expected[i]).epsilon(2e-6));
}

}  // namespace

TEST_CASE("sgd with momentum and decay is its formula; biases do not decay") {
  Net net;
  Optimizer optimizer(net.parameters(), {.momentum = 0.9, .weight_decay = 0.1, .clip_norm = 0});
  net.gradients({1, 0, -1, 2}, {3, 0});
  CHECK(optimizer.update(0, 0.5) == Approx(std::sqrt(1 + 1 + 4 + 9)));
  // m = g + 0.1 w = (1.1, -0.2, -0.7, 2.05); w -= 0.5 m
  check_values(net.kernel, {0.45, -1.9, 3.35, -0.525});
  check_values(net.bias, {0.25 - 1.5, -1});
  net.gradients({0, 0, 0, 0}, {0, 0});
  optimizer.update(1, 0.5);
  // m = 0.9 m + 0.1 w = (0.99 + 0.045, -0.18 - 0.19, -0.63 + 0.335, 1.845 - 0.0525)
  check_values(net.kernel, {0.45 - 0.5175, -1.9 + 0.185, 3.35 + 0.1475, -0.525 - 0.89625});
  check_values(net.bias, {-1.25 - 0.5 * 2.7, -1});
}

TEST_CASE("adamw is its formula") {
  Net net;
  Optimizer optimizer(net.parameters(),
                      {.kind = OptimizerOptions::Kind::adamw, .weight_decay = 0.1, .clip_norm = 0});
  net.gradients({1, 0, -1, 2}, {3, 0});
  optimizer.update(0, 0.01);
  // After the first step m' = g and v' = g^2: each weight moves by the rate times the sign, and decays.
  check_values(net.kernel,
               {1 - 0.01 * (1 + 0.1), -2 + 0.01 * 0.2, 3 - 0.01 * (-1 + 0.3), 0.5 - 0.01 * (1 + 0.05)});
  check_values(net.bias, {0.25 - 0.01, -1});
  const double w = net.bias.values()[0];
  net.gradients({0, 0, 0, 0}, {1, 0});
  optimizer.update(1, 0.01);
  const double m = (0.9 * 0.1 * 3 + 0.1) / (1 - 0.81), v = (0.999 * 0.001 * 9 + 0.001) / (1 - 0.999 * 0.999);
  CHECK(net.bias.values()[0] == Approx(w - 0.01 * m / std::sqrt(v)).epsilon(1e-5));
}

TEST_CASE("gradients are clipped by their norm over all parameters") {
  Net net;
  Optimizer optimizer(net.parameters(), {.momentum = 0, .weight_decay = 0, .clip_norm = 1});
  net.gradients({3, 0, 0, 0}, {4, 0});
  CHECK(optimizer.update(0, 1) == Approx(5));
  check_values(net.kernel, {1 - 0.6, -2, 3, 0.5});
  check_values(net.bias, {0.25 - 0.8, -1});
  net.gradients({0.3, 0, 0, 0}, {0.4, 0});  // shorter than 1: as it is
  optimizer.update(1, 1);
  check_values(net.kernel, {0.4 - 0.3, -2, 3, 0.5});
}

TEST_CASE("a gradient that is not finite changes nothing") {
  Net net;
  Optimizer optimizer(net.parameters(), {});
  for (const double bad :
       {std::numeric_limits<double>::infinity(), std::numeric_limits<double>::quiet_NaN()}) {
    net.gradients({1, bad, 0, 0}, {1, 1});
    CHECK_FALSE(std::isfinite(optimizer.update(0, 1)));
    check_values(net.kernel, {1, -2, 3, 0.5});
    check_values(net.bias, {0.25, -1});
    check_values(optimizer.state()[0].tensor, {0, 0, 0, 0});
  }
}

TEST_CASE("a parameter without a gradient stays, and the state has a name for each tensor") {
  Net net;
  Optimizer optimizer(net.parameters(), {.kind = OptimizerOptions::Kind::adamw});
  net.kernel.set_grad(ones({2, 2}));
  optimizer.update(0, 0.1);
  check_values(net.bias, {0.25, -1});
  const auto state = optimizer.state();
  REQUIRE(state.size() == 4);
  CHECK(state[0].name == "kernel.momentum");
  CHECK(state[1].name == "kernel.variance");
  CHECK(state[3].name == "bias.variance");
}
