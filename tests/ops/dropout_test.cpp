#include "ops/dropout.h"

#include <catch2/catch.hpp>

#include "cuda/runtime/graph.h"
#include "ops/support/check_op.h"

using namespace fovea;

TEST_CASE("dropout removes the given share and keeps the mean") {
  const Tensor y = dropout(ones({100000}), 0.3, 42);
  int64_t dropped = 0;
  double sum = 0;
  for (double v : y.values()) {
    dropped += v == 0;
    sum += v;
    if (v != 0) CHECK(v == Approx(1 / 0.7));
  }
  CHECK(double(dropped) == Approx(30000).margin(600));
  CHECK(sum == Approx(100000).epsilon(0.01));
  CHECK(dropout(ones({1000}), 0.3, 42).values() == dropout(ones({1000}), 0.3, 42).values());
  CHECK(dropout(ones({1000}), 0.3, 42).values() != dropout(ones({1000}), 0.3, 43).values());
}

TEST_CASE("stochastic depth drops whole samples") {
  const Tensor y = stochastic_depth_add(full({64, 3, 2}, 2), ones({64, 3, 2}), 0.5, 7);
  int kept = 0;
  for (int64_t n = 0; n < 64; ++n) {
    const double first = y.values()[size_t(n * 6)];
    CHECK((first == 1 || first == 5));
    kept += first == 5;
    for (int64_t i = 1; i < 6; ++i) CHECK(y.values()[size_t(n * 6 + i)] == first);
  }
  CHECK(kept > 16);
  CHECK(kept < 48);
}

TEST_CASE("the mask is the same on CUDA, bit for bit") {
  Random random(3);
  for (int64_t n : {1, 3, 4, 9, 1031, 3000}) {
    const Tensor x = randn({n}, random);
    CHECK(dropout(x.to(Device::cuda), 0.4, 11).values() == dropout(x, 0.4, 11).values());
    const Tensor kept = dropout(ones({n}, DType::bfloat16, Device::cuda), 0.5, 11);
    CHECK(kept.values() == dropout(ones({n}), 0.5, 11).values());
  }
  // Samples in whole packs and not, several blocks per sample and several samples per block.
  for (const Shape& shape :
       {Shape{1, 1}, Shape{70, 3}, Shape{9, 4}, Shape{5, 2, 8}, Shape{3, 1500}, Shape{2, 4096}}) {
    const Tensor x = randn(shape, random), s = randn(shape, random), on_cuda = x.to(Device::cuda);
    CHECK(stochastic_depth(on_cuda, 0.4, 11).values() == stochastic_depth(x, 0.4, 11).values());
    CHECK(relative_difference(stochastic_depth_add(on_cuda, s.to(Device::cuda), 0.4, 11),
                              stochastic_depth_add(x, s, 0.4, 11)) < 1e-7);
  }
}

TEST_CASE("a new step of a random key gives new numbers, on both devices") {
  int64_t step = 0;
  const Tensor x = ones({999}), on_cuda = x.to(Device::cuda);
  const cuda::Workspace<int64_t> step_on_cuda(1);
  const RandomKey key(42, &step), key_on_cuda(42, step_on_cuda.data());
  // A graph keeps its arguments, and still draws new numbers.
  Tensor y, d;
  const auto work = [&] {
    y = dropout(on_cuda, 0.4, key_on_cuda);
    d = stochastic_depth(on_cuda, 0.4, key_on_cuda);
  };
  cuda::copy_to_device(step_on_cuda.data(), &step, sizeof step);
  cuda::Graph graph;
  graph.warm_up(work);
  graph.capture(work);
  CHECK(dropout(x, 0.4, key).values() == dropout(x, 0.4, 42).values());
  std::vector<double> last;
  for (step = 1; step < 4; ++step) {
    cuda::copy_to_device(step_on_cuda.data(), &step, sizeof step);
    graph.replay();
    CHECK(y.values() == dropout(x, 0.4, key).values());
    CHECK(d.values() == stochastic_depth(x, 0.4, key).values());
    CHECK(y.values() != last);
    last = y.values();
  }
}

TEST_CASE("gradients go through the same mask") {
  Random random(3);
  const Tensor x = randn({5, 7, 3}, random, DType::float64), s = randn({5, 7, 3}, random, DType::float64);
  for (double p : {0.0, 0.4}) {
    CHECK_NOTHROW(check_op([=](const Tensors& in) { return dropout(in[0], p, 11); }, {x}));
    CHECK_NOTHROW(check_op([=](const Tensors& in) { return stochastic_depth(in[0], p, 11); }, {x}));
    CHECK_NOTHROW(
        check_op([=](const Tensors& in) { return stochastic_depth_add(in[0], in[1], p, 11); }, {x, s}));
  }
  CHECK_THROWS_WITH(dropout(x, 1.0, 1), Catch::Contains("[0, 1)"));
  CHECK_THROWS_WITH(stochastic_depth_add(x, zeros({1}, DType::float64), 0.1, 1), Catch::Contains("5x7x3"));
}
