#include "ops/activation.h"

#include <catch2/catch.hpp>
#include <cmath>

#include "ops/reduction.h"
#include "ops/support/check_op.h"

using namespace fovea;

TEST_CASE("activations have the published values") {
  const Tensor x = from_values({3}, {-2, 0, 3});
  CHECK(relu(x).values() == std::vector<double>{0, 0, 3});
  CHECK(relu6(from_values({5}, {-2, 0, 3, 6, 7})).values() == std::vector<double>{0, 0, 3, 6, 6});
  CHECK(sigmoid(x).values()[2] == Approx(1 / (1 + std::exp(-3.0))).epsilon(1e-6));
  CHECK(swish(x).values()[0] == Approx(-2 / (1 + std::exp(2.0))).epsilon(1e-6));
}

TEST_CASE("relu6 has no gradient at its bounds and beyond, as in PyTorch") {
  const Tensor x = from_values({6}, {-1, 0, 0.5, 5.5, 6, 7}).set_requires_grad();
  sum(relu6(x)).backward();
  CHECK(x.grad().values() == std::vector<double>{0, 0, 1, 1, 0, 0});
  CHECK(std::isnan(relu6(from_values({1}, {NAN})).values()[0]));
}

TEST_CASE("activations saturate without overflow and keep NaN") {
  const Tensor x = from_values({5}, {-1e4, 1e4, -90, 89, NAN});
  const auto s = sigmoid(x).values(), y = swish(x).values();
  CHECK(s[0] == Approx(0).margin(1e-30));
  CHECK(s[1] == 1);
  CHECK(y[1] == 1e4);
  CHECK(std::isfinite(y[0]));
  CHECK(std::isnan(s[4]));
  CHECK(std::isnan(y[4]));
}

TEST_CASE("gradients of activations") {
  Random random(3);
  for (const Shape& shape : {Shape{1}, Shape{7}, Shape{2, 3, 5, 17}, Shape{20011}}) {
    const Tensor x = randn(shape, random, DType::float64);
    for (Activation activation : all_activations)
      CHECK_NOTHROW(check_op([activation](const Tensors& in) { return activate(in[0], activation); }, {x}));
  }
}

TEST_CASE("each activation except the identity is an op of the same name") {
  const Tensor x = from_values({3}, {-2, 0, 3}).set_requires_grad();
  for (Activation activation : all_activations) {
    const Tensor y = activate(x, activation);
    if (activation == Activation::identity)
      CHECK(y.node() == x.node());
    else
      CHECK(std::string(y.node()->op) == name(activation));
  }
  CHECK(std::string(name(Activation::identity)) == "identity");
  CHECK(std::string(swish(x).node()->op) == "swish");
}

TEST_CASE("an activation of integers is refused by name") {
  CHECK_THROWS_WITH(swish(zeros({2}, DType::int32)), Catch::Contains("[swish]") && Catch::Contains("int32"));
}
