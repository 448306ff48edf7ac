#include "train/optim/optimizer.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <limits>

#include "cuda/runtime/counters.h"
#include "cuda/runtime/device.h"

using namespace fovea;
using Catch::Contains;

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

TEST_CASE("sgd with momentum and decay is its formula, biases do not decay") {
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

// ---- on CUDA

namespace {

const std::vector<Shape> few = {{1}, {3}, {5, 7}};                        // a chunk each, and no pack
const std::vector<Shape> many = {{1}, {3}, {64, 64}, {3, 1667}, {4097}};  // chunks of 16-byte accesses

// The same weights for the same shapes, on each device.
std::vector<NamedTensor> network(const std::vector<Shape>& shapes, Device device) {
  std::vector<NamedTensor> parameters;
  for (size_t k = 0; k < shapes.size(); ++k) {
    Random random(1, k);
    Tensor weight = randn(shapes[k], random).to(device);
    parameters.push_back({std::to_string(k), weight.set_requires_grad()});
  }
  return parameters;
}

Tensor gradient_of(const NamedTensor& parameter, size_t k, int64_t step) {
  Random random(2 + uint64_t(step), k);
  return randn(parameter.tensor.shape(), random);
}

void set_gradients(const std::vector<NamedTensor>& parameters, int64_t step) {
  for (size_t k = 0; k < parameters.size(); ++k)
    parameters[k].tensor.set_grad(gradient_of(parameters[k], k, step).to(parameters[k].tensor.device()));
}

// Writes into the existing tensors, since a captured graph uses these.
void overwrite_gradients(const std::vector<NamedTensor>& parameters, int64_t step) {
  for (size_t k = 0; k < parameters.size(); ++k)
    parameters[k].tensor.grad().copy_from(gradient_of(parameters[k], k, step));
}

std::vector<double> numbers_of(const std::vector<NamedTensor>& tensors) {
  std::vector<double> numbers;
  for (const NamedTensor& t : tensors)
    for (const double value : t.tensor.values()) numbers.push_back(value);
  return numbers;
}

// The weights and the optimizer's state.
std::vector<double> numbers_of(const std::vector<NamedTensor>& parameters, const Optimizer& optimizer) {
  std::vector<NamedTensor> all = parameters;
  for (const NamedTensor& t : optimizer.state()) all.push_back(t);
  return numbers_of(all);
}

std::vector<double> trained(const std::vector<Shape>& shapes, const OptimizerOptions& options, Device device,
                            std::vector<double>* norms = nullptr) {
  const auto parameters = network(shapes, device);
  Optimizer optimizer(parameters, options);
  for (int64_t step = 0; step < 4; ++step) {
    set_gradients(parameters, step);
    if (step == 2) parameters[1].tensor.clear_grad();
    const double norm = optimizer.update(step, 0.01 / double(step + 1));
    if (norms) norms->push_back(norm);
  }
  return numbers_of(parameters, optimizer);
}

constexpr auto sgd = OptimizerOptions::Kind::sgd, adamw = OptimizerOptions::Kind::adamw;

}  // namespace

TEST_CASE("optimizers compute on CUDA what they do on the CPU, in any order of threads") {
  for (const auto& shapes : {few, many})
    for (const auto kind : {sgd, adamw})
      for (const double clip : {0.0, 1.0, 1e6}) {
        CAPTURE(shapes.size(), int(kind), clip);
        const OptimizerOptions options{.kind = kind, .weight_decay = 0.1, .clip_norm = clip};
        std::vector<double> cpu_norms, norms;
        const auto expected = trained(shapes, options, Device::cpu, &cpu_norms);
        const auto found = trained(shapes, options, Device::cuda, &norms);
        REQUIRE(found.size() == expected.size());
        double worst = 0;
        for (size_t i = 0; i < found.size(); ++i)
          worst = std::max(worst, std::abs(found[i] - expected[i]) / std::max(0.1, std::abs(expected[i])));
        CHECK(worst < 5e-6);  // a few roundings of momenta near 3
        for (size_t i = 0; i < norms.size(); ++i) CHECK(norms[i] == Approx(cpu_norms[i]).epsilon(1e-12));
        for (const auto order : {cuda::ThreadOrder::reverse, cuda::ThreadOrder::shuffled}) {
          cuda::set_thread_order(order);
          std::vector<double> again;
          CHECK(trained(shapes, options, Device::cuda, &again) == found);
          CHECK(again == norms);
        }
        cuda::set_thread_order(cuda::ThreadOrder::forward);
      }
}

TEST_CASE("a gradient that is not finite also changes nothing on CUDA, and is counted") {
  for (const auto& shapes : {few, many})
    for (const double bad :
         {std::numeric_limits<double>::infinity(), -std::numeric_limits<double>::quiet_NaN()}) {
      const auto parameters = network(shapes, Device::cuda);
      Optimizer optimizer(parameters, {.kind = adamw});
      set_gradients(parameters, 0);
      optimizer.update(0, 0.1);
      const auto before = numbers_of(parameters, optimizer);
      set_gradients(parameters, 1);
      auto values = parameters[2].tensor.grad().values();
      values.back() = bad;
      parameters[2].tensor.set_grad(from_values(shapes[2], values).to(Device::cuda));
      CHECK_FALSE(std::isfinite(optimizer.update(1, 0.1)));
      CHECK(numbers_of(parameters, optimizer) == before);
      CHECK(optimizer.skipped() == 1);
      set_gradients(parameters, 2);
      CHECK(std::isfinite(optimizer.update(2, 0.1)));
      CHECK(optimizer.skipped() == 1);
    }
}

TEST_CASE("an update is two launches on CUDA, however many parameters there are, and no wait") {
  for (const size_t tensors : {1, 2, 60}) {
    const auto parameters = network(std::vector<Shape>(tensors, Shape{30}), Device::cuda);
    Optimizer optimizer(parameters, {});
    set_gradients(parameters, 0);
    optimizer.update(0, 0.1);
    overwrite_gradients(parameters, 1);
    const cuda::Counters before = cuda::counters();
    optimizer.prepare(1, 0.1);
    optimizer.apply();
    CHECK(cuda::counters().launches == before.launches + 2);
    CHECK(cuda::counters().copies == before.copies + 1);  // what prepare() decided
    CHECK(cuda::counters().allocations == before.allocations);
    CHECK(cuda::counters().synchronizations == before.synchronizations);
  }
}

TEST_CASE("a captured update replays with each step's rate and gradients, the same bits as an eager one") {
  for (const auto kind : {sgd, adamw}) {
    const OptimizerOptions options{.kind = kind, .clip_norm = 20};
    const auto eager = network(many, Device::cuda), captured = network(many, Device::cuda);
    Optimizer expected(eager, options), optimizer(captured, options);
    cuda::Graph graph;
    set_gradients(captured, 0);
    for (int64_t step = 0; step < 5; ++step) {
      set_gradients(eager, step);
      const double norm = expected.update(step, 0.1 / double(step + 1));
      overwrite_gradients(captured, step);
      optimizer.prepare(step, 0.1 / double(step + 1));
      if (step < 2) {
        graph.warm_up([&] { optimizer.apply(); });
      } else {
        if (step == 2) {
          graph.capture([&] { optimizer.apply(); });
          optimizer.prepare(step, 0.1 / double(step + 1));  // copies what must not be copied under capture
        }
        const cuda::Counters before = cuda::counters();
        graph.replay();
        CHECK(cuda::counters().launches == before.launches);
        CHECK(cuda::counters().allocations == before.allocations);
      }
      CHECK(optimizer.norm() == norm);
      CHECK(numbers_of(captured, optimizer) == numbers_of(eager, expected));
    }
  }
}

TEST_CASE("a captured update keeps to the gradients it was captured with") {
  const auto parameters = network(few, Device::cuda);
  Optimizer optimizer(parameters, {.momentum = 0, .weight_decay = 0, .clip_norm = 0});
  const Tensor& weight = parameters[0].tensor;
  const double w = weight.values()[0];
  std::vector<Tensor> kept;
  const auto set_all = [&](double value) {
    for (const NamedTensor& p : parameters) {
      p.tensor.set_grad(full(p.tensor.shape(), value, DType::float32, Device::cuda));
      kept.push_back(p.tensor.grad());
    }
  };
  set_all(1);
  optimizer.prepare(0, 0.5);
  cuda::Graph graph;
  graph.capture([&] { optimizer.apply(); });  // without a warm-up
  set_all(10);
  optimizer.update(0, 0.5);
  CHECK(weight.values()[0] == Approx(w - 5));
  optimizer.prepare(1, 0.25);
  graph.replay();
  CHECK(weight.values()[0] == Approx(w - 5 - 0.25));
}

TEST_CASE("misuse of an optimizer is an error") {
  auto parameters = network(few, Device::cuda);
  Optimizer optimizer(parameters, {});
  set_gradients(parameters, 0);
  CHECK_THROWS_WITH(optimizer.apply(), Contains("before prepare()"));
  optimizer.prepare(0, 0.1);
  cuda::Graph graph;
  CHECK_THROWS_WITH(graph.capture([&] { optimizer.prepare(0, 0.1); }),
                    Contains("call it before each replay"));
  CHECK_THROWS_WITH(graph.capture([&] {
    optimizer.apply();
    optimizer.apply();
  }),
                    Contains("captured once after each prepare()"));
  parameters[2].tensor.move_to(Device::cpu);
  CHECK_THROWS_WITH(optimizer.apply(), Contains("2 or its gradient is no longer on cuda"));
  CHECK_THROWS_WITH(Optimizer(parameters, {}), Contains("0 is on cuda, 2 on cpu"));
}
