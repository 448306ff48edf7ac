#include "train/optim/ema.h"

#include <catch2/catch.hpp>

#include "cuda/runtime/counters.h"
#include "cuda/runtime/device.h"

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
    const EmaScope averaged(net, ema);
    CHECK(net.weight.values() == std::vector<double>{1, 2});
    CHECK_FALSE(net.training());
  }
  CHECK(net.weight.values() == std::vector<double>{7, 7});
  CHECK(ema.state()[0].tensor.values() == std::vector<double>{1, 2});
  CHECK(net.training());
}

// ---- on CUDA

namespace {

// Two parameters and a buffer of the given size, so that both naive and chunked kernels run.
struct Sized : Module {
  explicit Sized(int64_t n) {
    Random random(3);
    add_parameter("a", randn({1}, random));
    add_parameter("b", randn({3, n}, random));
    add_buffer("c", randn({n}, random));
  }
  void change(int64_t step) const {
    uint64_t k = 0;
    for (const NamedTensor& w : state_dict(*this)) {
      Random random(4 + uint64_t(step), k++);
      w.tensor.copy_from(randn(w.tensor.shape(), random));
    }
  }
};

std::vector<double> numbers_of(const std::vector<NamedTensor>& tensors) {
  std::vector<double> numbers;
  for (const NamedTensor& t : tensors)
    for (const double value : t.tensor.values()) numbers.push_back(value);
  return numbers;
}

std::vector<double> averaged(int64_t n, Device device) {
  const Sized net(n);
  net.to(device);
  Ema ema(net, 0.3);
  for (int64_t step = 0; step < 4; ++step) {
    net.change(step);
    ema.update(step);
  }
  return numbers_of(ema.state());
}

}  // namespace

TEST_CASE("averages on CUDA are those of the CPU, in any order of threads") {
  for (const int64_t n : {int64_t(1), int64_t(7), int64_t(5001)}) {
    const auto expected = averaged(n, Device::cpu), found = averaged(n, Device::cuda);
    REQUIRE(found.size() == expected.size());
    double worst = 0;
    for (size_t i = 0; i < found.size(); ++i) worst = std::max(worst, std::abs(found[i] - expected[i]));
    CHECK(worst < 1e-6);
    for (const auto order : {cuda::ThreadOrder::reverse, cuda::ThreadOrder::shuffled}) {
      cuda::set_thread_order(order);
      CHECK(averaged(n, Device::cuda) == found);
    }
    cuda::set_thread_order(cuda::ThreadOrder::forward);
  }
}

TEST_CASE("on CUDA averages and weights are swapped in one launch, and back") {
  for (const int64_t n : {int64_t(7), int64_t(5001)}) {
    Sized net(n);
    net.to(Device::cuda);
    const Ema ema(net, 0.9);
    const auto first = numbers_of(state_dict(net));
    net.change(0);
    const auto second = numbers_of(state_dict(net));
    {
      const EmaScope evaluates(net, ema);
      CHECK(numbers_of(state_dict(net)) == first);
      CHECK(numbers_of(ema.state()) == second);
    }
    const cuda::Counters before = cuda::counters();
    ema.swap();
    ema.swap();
    CHECK(cuda::counters().launches == before.launches + 2);
    CHECK(cuda::counters().copies == before.copies);
    CHECK(numbers_of(state_dict(net)) == second);
    CHECK(numbers_of(ema.state()) == first);
  }
}

TEST_CASE("a captured average replays with each step's decay, the same bits as an eager one") {
  const Sized net(5001), other(5001);
  net.to(Device::cuda);
  other.to(Device::cuda);
  Ema ema(net, 0.9), expected(other, 0.9);
  cuda::Graph graph;
  graph.capture([&] { CHECK_THROWS_WITH(ema.apply(), Catch::Contains("before prepare()")); });
  ema.prepare(0);
  graph.capture([&] { ema.apply(); });
  CHECK_THROWS_WITH(cuda::Graph().capture([&] { ema.prepare(0); }),
                    Catch::Contains("call it before each replay"));
  for (int64_t step = 0; step < 4; ++step) {
    net.change(step);
    other.change(step);
    ema.prepare(step);
    graph.replay();
    expected.update(step);
    CHECK(numbers_of(ema.state()) == numbers_of(expected.state()));
  }
}
