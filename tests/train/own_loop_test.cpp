// Training loops of a program's own: optimizers with step(), groups, schedules, and a step that one call
// captures.
#include <catch2/catch.hpp>
#include <cmath>

#include "cuda/runtime/counters.h"
#include "nn/io/weights.h"
#include "nn/layers.h"
#include "ops/arithmetic.h"
#include "ops/reduction.h"
#include "tests/support/test_data.h"
#include "train/optim/captured_step.h"
#include "train/optim/optimizer.h"
#include "train/optim/training.h"

using namespace fovea;
using Catch::Contains;

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
    // From the formulas, in double: 1412.6980 algorithm 1, 1711.05101 algorithm 2.
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

TEST_CASE("groups have their own rates and decays, and a schedule decides the rate of each step") {
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

TEST_CASE("a captured step computes what the explicit loop does") {
  // Ten steps with dropout, which draws new numbers in each.
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

TEST_CASE("a loop that is saved and loaded computes the bits of one that was not interrupted") {
  const TemporaryFolder folder;
  const std::string file = folder / "training.safetensors";
  for (const Device device : {Device::cpu, Device::cuda})
    for (const bool captured : {false, true}) {
      CAPTURE(name(device), captured);
      // Steps first .. last - 1; returns every number of the network after them.
      const auto train = [&](Regression& net, Optimizer& optimizer, int64_t first, int64_t last) {
        const Tensor x = zeros({8, 3}).to(device).clone();
        const auto loss_of = [&] {
          const Tensor error = net(x) - sum(x, 1, true);
          return mean(error * error);
        };
        CapturedStep step(net, optimizer, loss_of);
        for (int64_t i = first; i < last; ++i) {
          x.copy_from(batch_of(i));
          if (captured) {
            step();
            continue;
          }
          optimizer.clear_gradients();
          loss_of().backward();
          optimizer.step();
        }
        std::vector<double> numbers;
        for (const NamedTensor& t : state_dict(net))
          for (const double value : t.tensor.to(Device::cpu).values()) numbers.push_back(value);
        return numbers;
      };
      Regression whole(4), begun(4), resumed(5);
      for (Regression* net : {&whole, &begun, &resumed}) net->to(device);
      AdamW all_steps(whole.parameters()), first_steps(begun.parameters()), last_steps(resumed.parameters());
      for (AdamW* optimizer : {&all_steps, &first_steps, &last_steps})
        optimizer->set_schedule(WarmupCosine{.peak = 0.05, .warmup_steps = 3, .total_steps = 10});
      const auto expected = train(whole, all_steps, 0, 10);
      train(begun, first_steps, 0, 5);
      save_training(file, begun, first_steps);
      load_training(file, resumed, last_steps);
      CHECK(last_steps.steps() == 5);
      CHECK(train(resumed, last_steps, 5, 10) == expected);
    }
}

TEST_CASE("a training is not loaded into anything that it does not fit") {
  const TemporaryFolder folder;
  const std::string file = folder / "training.safetensors";
  Regression net(4);
  Adam optimizer(net.parameters());
  save_training(file, net, optimizer);

  struct Other : Module {
    using Module::Module;
    Linear a{*this, "a", 3, 7};
  };
  Other other(1);
  Adam of_other(other.parameters());
  AdamW decoupled(net.parameters());
  SGD sgd(net.parameters());
  CHECK_THROWS_WITH(load_training(file, net, decoupled),
                    Contains("holds a training with Adam, but the given optimizer is AdamW"));
  CHECK_THROWS_WITH(load_training(file, net, sgd), Contains("optimizer is SGD"));
  CHECK_THROWS_WITH(load_training(file, other, of_other), Contains("an optimizer of other parameters"));
  Adam of_a(net.a.parameters());
  CHECK_THROWS_WITH(load_training(file, net, of_a), Contains("weight.momentum is 3x7 here, and missing"));
  const auto before = other.a.parameters()[0].tensor.values();
  CHECK_THROWS_WITH(load_training(file, other, optimizer), Contains("the weights of another model"));
  CHECK(other.a.parameters()[0].tensor.values() == before);
  save_weights(folder / "weights", net);
  CHECK_THROWS_WITH(load_training(folder / "weights", net, optimizer),
                    Contains("does not hold a training to continue: its metadata has no optimizer"));
  CHECK_THROWS_WITH(load_training(folder / "none", net, optimizer), Contains("none"));
}
