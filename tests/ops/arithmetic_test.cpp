#include "ops/arithmetic.h"

#include <catch2/catch.hpp>

#include "ops/check_op.h"

using namespace fovea;

TEST_CASE("arithmetic broadcasts as NumPy does") {
  const Tensor a = from_values({2, 3}, {1, 2, 3, 4, 5, 6}), row = from_values({3}, {10, 20, 30}),
               column = from_values({2, 1}, {1, -1});
  CHECK((a + row).values() == std::vector<double>{11, 22, 33, 14, 25, 36});
  CHECK((a * column).values() == std::vector<double>{1, 2, 3, -4, -5, -6});
  CHECK((column - row).shape() == Shape{2, 3});
  CHECK((a / 2.0 - 1.0).values() == std::vector<double>{-0.5, 0, 0.5, 1, 1.5, 2});
  CHECK(sum_to(a, {2, 1}).values() == std::vector<double>{6, 15});
  CHECK(sum_to(a, {}).values() == std::vector<double>{21});
}

TEST_CASE("gradients of arithmetic over broadcast axes") {
  Random random(3);
  const std::vector<std::pair<Shape, Shape>> shapes = {
      {{1}, {1}}, {{2, 3, 5}, {2, 3, 5}}, {{2, 3, 5}, {5}}, {{7, 1}, {1, 11}}, {{2, 1, 3, 4}, {5, 1, 4}},
      {{3}, {}},  {{0, 4}, {4}}};
  for (const auto& [sa, sb] : shapes) {
    const Tensor a = randn(sa, random, DType::float64), b = rand(sb, random, 0.5, 2, DType::float64);
    for (auto* op :
         std::initializer_list<Tensor (*)(const Tensor&, const Tensor&)>{add, subtract, multiply, divide})
      CHECK_NOTHROW(check_op([op](const Tensors& in) { return op(in[0], in[1]); }, {a, b}));
    CHECK_NOTHROW(check_op([](const Tensors& in) { return -(in[0] * 3.0 + 2.0); }, {a}));
  }
}

TEST_CASE("a residual used twice keeps its gradients apart") {
  Tensor x = from_values({1}, {3}).set_requires_grad();
  (x + x * x + x).backward();
  CHECK(x.grad().item() == 8);
}

TEST_CASE("shapes that do not broadcast are named") {
  CHECK_THROWS_WITH(zeros({2, 3}) + zeros({2}), Catch::Contains("[add] 2x3 and 2 do not broadcast"));
  CHECK_THROWS_WITH(zeros({2}) * zeros({2}, DType::float64), Catch::Contains("float32 and float64"));
}
