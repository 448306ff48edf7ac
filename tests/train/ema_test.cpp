#include "train/ema.h"

#include <catch2/catch.hpp>

using namespace fovea;

namespace {

struct Net : Module {
  Net()
      : weight(add_parameter("weight", from_values({2}, {1, 2}))),
        mean(add_buffer("mean", from_values({1}, {10}))) {}
  Tensor weight, mean;
};

}  // namespace

TEST_CASE("the average follows the weights slowly, faster at the beginning, buffers included") {
  Net net;
  Ema ema(net, 0.5);
  net.weight.fill(11);
  net.mean.fill(20);
  ema.update(0);  // d = min(0.5, 1/10)
  CHECK(ema.state()[0].tensor.values()[0] == Approx(0.1 * 1 + 0.9 * 11));
  CHECK(ema.state()[0].tensor.values()[1] == Approx(0.1 * 2 + 0.9 * 11));
  CHECK(ema.state()[1].tensor.values()[0] == Approx(0.1 * 10 + 0.9 * 20));
  const double before = ema.state()[1].tensor.values()[0];
  ema.update(1000);  // d = 0.5
  CHECK(ema.state()[1].tensor.values()[0] == Approx(0.5 * before + 10));
}

TEST_CASE("a network evaluates with its averages and trains on with its own weights") {
  Net net;
  const Ema ema(net, 0.9);
  net.weight.fill(7);
  {
    const EvaluatesWithEma averaged(net, ema);
    CHECK(net.weight.values() == std::vector<double>{1, 2});
    CHECK_FALSE(net.training());
  }
  CHECK(net.weight.values() == std::vector<double>{7, 7});
  CHECK(ema.state()[0].tensor.values() == std::vector<double>{1, 2});
  CHECK(net.training());
}
