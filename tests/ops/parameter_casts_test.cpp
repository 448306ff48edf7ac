// Copies of parameters in bfloat16, on Device::cuda: a GPU or the simulator.
#include "ops/support/parameter_casts.h"

#include <catch2/catch.hpp>

#include "core/recompute.h"
#include "cuda/runtime/counters.h"
#include "cuda/runtime/graph.h"
#include "ops/arithmetic.h"
#include "ops/matmul.h"
#include "ops/reduction.h"
#include "ops/shape_ops.h"

using namespace fovea;

namespace {

// Two layers, the second without a bias; large enough for whole chunks of 4096 numbers and a remainder.
struct Layers {
  Random random{1};
  Tensor w1 = parameter({37, 131}), b1 = parameter({131}), w2 = parameter({131, 3});
  Tensor x = randn({5, 37}, random, DType::bfloat16).to(Device::cuda);

  Tensor parameter(Shape shape) {
    const Tensor p = randn(shape, random).to(Device::cuda).clone();
    return p.set_requires_grad();
  }
  Tensors parameters() const { return {w1, b1, w2}; }
  Tensor forward() const { return matmul(linear(x, w1, b1), w2); }
  // The output and the gradients of a sum of its squares.
  std::vector<std::vector<double>> numbers(bool again = false) const {
    for (const Tensor& p : parameters()) p.clear_grad();
    const Tensor y =
        again ? recompute([this](const Tensors&) { return forward(); }, {}, parameters()) : forward();
    sum(y * y).backward();
    std::vector<std::vector<double>> all{y.values()};
    for (const Tensor& p : parameters()) all.push_back(p.grad().values());
    return all;
  }
};

template <class F>
int64_t launches_of(F&& f) {
  const int64_t before = cuda::counters().launches;
  f();
  return cuda::counters().launches - before;
}

}  // namespace

TEST_CASE("products take the same bits from copies of their parameters, and cast none themselves") {
  const Layers layers;
  const auto expected = layers.numbers();
  const int64_t cast_launches = launches_of([&] { layers.forward(); });
  const ParameterCasts casts(layers.parameters(), DType::bfloat16);
  {
    const ParameterCasts::Scope scope(casts);
    CHECK(layers.numbers() == expected);
    CHECK(layers.numbers(true) == expected);
    // A weight of an odd size was cast by two launches, for packs and for the remainder.
    CHECK(launches_of([&] { layers.forward(); }) < cast_launches - 2);
  }
  CHECK(launches_of([&] { layers.forward(); }) == cast_launches);
  CHECK(launches_of([&] { const ParameterCasts::Scope scope(casts); }) == 1);
}

TEST_CASE("a scope has its parameters' changes since the last one") {
  const Layers layers;
  const ParameterCasts casts(layers.parameters(), DType::bfloat16);
  const auto inside = [&] {
    const ParameterCasts::Scope scope(casts);
    return layers.forward().values();
  };
  const auto before = inside();
  layers.w1.fill(0.3);
  layers.b1.copy_from(full({131}, -2));
  CHECK(inside() != before);
  CHECK(inside() == layers.forward().values());
  // The launch is a part of a captured step.
  cuda::Graph graph;
  Tensor y;
  const auto step = [&] {
    const ParameterCasts::Scope scope(casts);
    y = layers.forward();
  };
  graph.warm_up(step);
  y = {};
  graph.capture(step);
  layers.w1.fill(0.7);
  graph.replay();
  CHECK(y.values() == layers.forward().values());
}

TEST_CASE("scopes within each other find the copies of both, and none after they have ended") {
  const Layers layers;
  const ParameterCasts first({layers.w1, layers.b1}, DType::bfloat16), second({layers.w2}, DType::bfloat16);
  const Tensor& w1 = layers.w1;
  CHECK_FALSE(ParameterCasts::find(w1, DType::bfloat16).defined());
  {
    const ParameterCasts::Scope outer(first);
    CHECK_FALSE(ParameterCasts::find(layers.w2, DType::bfloat16).defined());
    {
      const ParameterCasts::Scope inner(second);
      for (const Tensor& p : layers.parameters()) {
        const Tensor copy = ParameterCasts::find(p, DType::bfloat16);
        REQUIRE(copy.defined());
        CHECK(copy.values() == cast(p.detach(), DType::bfloat16).values());
      }
      // The same numbers are found under another shape, but not in another dtype.
      CHECK(ParameterCasts::find(reshape(w1.detach(), {131, 37}), DType::bfloat16).shape() == Shape{131, 37});
      CHECK_FALSE(ParameterCasts::find(w1, DType::float64).defined());
    }
    CHECK_FALSE(ParameterCasts::find(layers.w2, DType::bfloat16).defined());
    CHECK(ParameterCasts::find(w1, DType::bfloat16).defined());
  }
  CHECK_FALSE(ParameterCasts::find(w1, DType::bfloat16).defined());
}

TEST_CASE("only float32 parameters on CUDA have copies, and only for bfloat16") {
  const Layers layers;
  const Tensor on_cpu = zeros({3});
  const Tensor doubles = zeros({3}, DType::float64, Device::cuda);
  for (const ParameterCasts& casts :
       {ParameterCasts(), ParameterCasts(layers.parameters(), DType::float32),
        ParameterCasts({on_cpu, doubles, zeros({0}, DType::float32, Device::cuda)}, DType::bfloat16)}) {
    CHECK(launches_of([&] { const ParameterCasts::Scope scope(casts); }) == 0);
    const ParameterCasts::Scope scope(casts);
    for (const Tensor& p : {layers.w1, on_cpu, doubles})
      CHECK_FALSE(ParameterCasts::find(p, DType::bfloat16).defined());
  }
}

TEST_CASE("a parameter that has moved is cast as if there were no copies") {
  Layers layers;
  const ParameterCasts casts(layers.parameters(), DType::bfloat16);
  layers.w1.move_to(Device::cpu);
  layers.w1.fill(2);
  layers.w1.move_to(Device::cuda);
  const auto expected = layers.forward().values();
  const ParameterCasts::Scope scope(casts);
  CHECK_FALSE(ParameterCasts::find(layers.w1, DType::bfloat16).defined());
  CHECK(layers.forward().values() == expected);
}
