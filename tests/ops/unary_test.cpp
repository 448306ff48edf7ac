#include "ops/unary.h"

#include <catch2/catch.hpp>
#include <cmath>

#include "ops/support/check_op.h"

using namespace fovea;

namespace {

constexpr double inf = INFINITY;

// The gradient of f at x for dy = 1.
template <class F>
std::vector<double> gradient(F f, const Tensor& on_cpu, Device device) {
  const Tensor x = on_cpu.to(device).clone().set_requires_grad();
  const Tensor y = f(x);
  y.backward(ones(y.shape(), y.dtype(), device));
  return x.grad().values();
}

}  // namespace

TEST_CASE("exp, log, sqrt and tanh by hand, at the ends of their domains and beyond") {
  for (const Device device : {Device::cpu, Device::cuda}) {
    const auto tensor = [&](const std::vector<double>& values) {
      return from_values({int64_t(values.size())}, values).to(device);
    };
    CHECK(fovea::exp(tensor({0, -inf, inf, 100})).values() == std::vector<double>{1, 0, inf, inf});
    CHECK(fovea::exp(tensor({1})).item() == Approx(std::exp(1.0)).epsilon(1e-6));
    CHECK(fovea::log(tensor({1, 0, inf})).values() == std::vector<double>{0, -inf, inf});
    CHECK(fovea::log(tensor({3})).item() == Approx(std::log(3.0)).epsilon(1e-6));
    CHECK(fovea::sqrt(tensor({0, 4, 2.25})).values() == std::vector<double>{0, 2, 1.5});
    CHECK(fovea::tanh(tensor({0, 100, -100})).values() == std::vector<double>{0, 1, -1});
    CHECK(fovea::tanh(tensor({0.5})).item() == Approx(std::tanh(0.5)).epsilon(1e-6));
    CHECK(std::isnan(fovea::log(tensor({-1})).item()));
    CHECK(std::isnan(fovea::sqrt(tensor({-1})).item()));
    for (auto* op : {fovea::exp, fovea::log, fovea::sqrt, fovea::tanh})
      CHECK(std::isnan(op(tensor({NAN})).item()));
  }
}

TEST_CASE("gradients of exp, log, sqrt and tanh") {
  Random random(3);
  for (const Shape& shape : {Shape{1}, Shape{7}, Shape{2, 3, 5, 17}, Shape{20011}}) {
    const Tensor any = randn(shape, random, DType::float64),
                 positive = rand(shape, random, 0.5, 3, DType::float64);
    CHECK_NOTHROW(check_op([](const Tensors& in) { return fovea::exp(in[0]); }, {any}));
    CHECK_NOTHROW(check_op([](const Tensors& in) { return fovea::tanh(in[0]); }, {any}));
    CHECK_NOTHROW(check_op([](const Tensors& in) { return fovea::log(in[0]); }, {positive}));
    CHECK_NOTHROW(check_op([](const Tensors& in) { return fovea::sqrt(in[0]); }, {positive}));
  }
  for (const Device device : {Device::cpu, Device::cuda}) {
    // 1 - tanh^2 would be 0 in float32 from 9 on.
    CHECK(gradient(fovea::tanh, from_values({2}, {10, -20}), device)[0] ==
          Approx(4 * std::exp(-20.0)).epsilon(1e-5));
    CHECK(gradient(fovea::tanh, from_values({2}, {10, -20}), device)[1] ==
          Approx(4 * std::exp(-40.0)).epsilon(1e-5));
    CHECK(gradient(fovea::sqrt, from_values({1}, {0}), device)[0] == inf);
  }
}

TEST_CASE("each function is recorded under its name, which refuses integers") {
  const Tensor x = ones({2}).set_requires_grad();
  CHECK(std::string(fovea::exp(x).node()->op) == "exp");
  CHECK(std::string(fovea::tanh(x).node()->op) == "tanh");
  CHECK_THROWS_WITH(fovea::sqrt(zeros({2}, DType::int64)),
                    Catch::Contains("[sqrt]") && Catch::Contains("int64"));
}
