// Loops of one's own: optimizers with step(), groups, schedules, and a step that is captured by one call.
#include <catch2/catch.hpp>
#include <cmath>

#include "cuda/runtime/counters.h"
#include "nn/layers.h"
#include "ops/arithmetic.h"
#include "ops/reduction.h"
#include "train/optim/captured_step.h"
#include "train/optim/optimizer.h"

using namespace fovea;

namespace {

NamedTensor parameter(const std::string& name, Shape shape, double value) {
  Tensor t = full(shape, value);
  t.set_requires_grad();
  return {name, t};
}

// The gradient is 1 everywhere.
void unit_gradients(const std::vector<NamedTensor>& parameters) {
  for (const NamedTensor& p : parameters) sum(p.tensor).backward();
}

struct Regression : Module {
  using Module::Module;
  Linear a{*this, "a", 3, 7};
  Dropout drop{*this, "drop", 0.2};
  Linear b{*this, "b", 7, 1};
  Tensor forward(const Tensor& x) const override { return b(drop(a(x))); }
};

Tensor batch_of(int64_t step) {
  Random random(9, uint64_t(step));
  return randn({8, 3}, random);
}

}  // namespace

TEST_CASE("Adam adds the decay to the gradient, AdamW to the update") {
  for (const Device device : {Device::cpu, Device::cuda}) {
    const auto run = [&]<class Rule, class Options>(Rule*, const Options& options) {
      std::vector<NamedTensor> parameters{parameter("w", {2, 2}, 1)};
      parameters[0].tensor.move_to(device);
      parameters[0].tensor.set_requires_grad();
      Rule optimizer(parameters, options);
      for (int step = 0; step < 3; ++step) {
        optimizer.clear_gradients();
        unit_gradients(parameters);
        optimizer.step();
      }
      CHECK(optimizer.steps() == 3);
      return parameters[0].tensor.to(Device::cpu).values()[0];
    };
    // By the formulas, in double: 1412.6980 algorithm 1, 1711.05101 algorithm 2.
    const auto expected = [](bool coupled) {
      double w = 1, m = 0, v = 0;
      for (int t = 1; t <= 3; ++t) {
        const double g = 1 + (coupled ? 0.5 * w : 0);
        m = 0.9 * m + 0.1 * g;
        v = 0.999 * v + 0.001 * g * g;
        const double step = m / (1 - std::pow(0.9, t)) / (std::sqrt(v / (1 - std::pow(0.999, t))) + 1e-8);
        w -= 0.1 * (step + (coupled ? 0 : 0.5 * w));
      }
      return w;
    };
    CHECK(run(static_cast<Adam*>(nullptr), AdamOptions{.learning_rate = 0.1, .weight_decay = 0.5}) ==
          Approx(expected(true)).epsilon(1e-5));
    CHECK(run(static_cast<AdamW*>(nullptr), AdamWOptions{.learning_rate = 0.1, .weight_decay = 0.5}) ==
          Approx(expected(false)).epsilon(1e-5));
    CHECK(expected(true) != Approx(expected(false)).epsilon(1e-3));
  }
}

TEST_CASE("groups have rates and decays of their own, a schedule decides on the rate of each step") {
  for (const Device device : {Device::cpu, Device::cuda}) {
    std::vector<NamedTensor> slow{parameter("slow", {1500}, 1)}, fast{parameter("fast", {3, 1}, 1)};
    for (const auto* group : {&slow, &fast}) {
      group->front().tensor.move_to(device);
      group->front().tensor.set_requires_grad();
    }
    SGD optimizer({ParameterGroup{slow, 0.1}, ParameterGroup{fast, 1, 0.5}},
                  {.learning_rate = 99, .momentum = 0});
    optimizer.set_schedule(StepDecay{.start = 0.2, .factor = 0.5, .interval = 2});
    CHECK(optimizer.learning_rate() == 0.2);
    double w = 1, rate_sum = 0;
    for (int step = 0; step < 4; ++step) {
      const double rate = step < 2 ? 0.2 : 0.1;
      CHECK(optimizer.learning_rate() == Approx(rate));
      optimizer.clear_gradients();
      unit_gradients(slow);
      unit_gradients(fast);
      optimizer.step();
      w -= rate * (1 + 0.5 * w);
      rate_sum += rate;
    }
    CHECK(slow[0].tensor.to(Device::cpu).values()[1499] == Approx(1 - 0.1 * rate_sum));
    CHECK(fast[0].tensor.to(Device::cpu).values()[2] == Approx(w));
  }
}

TEST_CASE("a captured step computes what the loop written out does") {
  // Ten steps with dropout, which draws other numbers in each.
  const auto train = [](Device device, bool captured) {
    Regression net(4);
    net.to(device);
    AdamW optimizer(net.parameters(), {.learning_rate = 0.05});
    const Tensor x = zeros({8, 3}).to(device).clone();
    const auto loss_of = [&] {
      const Tensor error = net(x) - sum(x, 1, true);
      return mean(error * error);
    };
    CapturedStep step(net, optimizer, loss_of);
    const Random start = net.rng();
    const int64_t launches = cuda::counters().graph_replays;
    std::vector<double> losses;
    for (int64_t i = 0; i < 10; ++i) {
      x.copy_from(batch_of(i));
      if (captured) {
        losses.push_back(step().item());
        continue;
      }
      net.rng() = start;
      net.rng().set_step(&i);
      optimizer.clear_gradients();
      const Tensor loss = loss_of();
      loss.backward();
      optimizer.step();
      losses.push_back(loss.item());
    }
    if (captured) CHECK(cuda::counters().graph_replays - launches == (device == Device::cuda ? 8 : 0));
    for (const NamedTensor& p : net.parameters())
      for (const double value : p.tensor.to(Device::cpu).values()) losses.push_back(value);
    return losses;
  };
  const auto plain = train(Device::cpu, false);
  CHECK(plain[9] < plain[0]);
  CHECK(train(Device::cpu, true) == plain);
  const auto on_device = train(Device::cuda, true);
  CHECK(train(Device::cuda, true) == on_device);
  for (size_t i = 0; i < plain.size(); ++i)
    CHECK(on_device[i] == Approx(plain[i]).epsilon(1e-3).margin(1e-5));
}
