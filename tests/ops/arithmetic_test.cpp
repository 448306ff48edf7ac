#include "ops/arithmetic.h"

#include <catch2/catch.hpp>

#include "ops/support/check_op.h"

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
  CHECK_THROWS_WITH(sum_to(a, {2}), Catch::Contains("do not broadcast"));
  CHECK_THROWS_WITH(sum_to(row, {2, 3}),
                    "[sum_to] 3 cannot be summed to 2x3, which does not broadcast to it");
}

TEST_CASE("numbers may be on either side of a tensor") {
  for (const Device device : {Device::cpu, Device::cuda}) {
    const Tensor x = from_values({3}, {1, 2, -4}).to(device).clone().set_requires_grad();
    CHECK((1 + x).values() == std::vector<double>{2, 3, -3});
    CHECK((1 - x).values() == std::vector<double>{0, -1, 5});
    CHECK((2 * x).values() == std::vector<double>{2, 4, -8});
    CHECK((2 / x).values() == std::vector<double>{2, 1, -0.5});
    (2 / x - (1 - x)).backward(from_values({3}, {1, 1, 2}).to(device));
    CHECK(x.grad().values() == std::vector<double>{-1, 0.5, 1.75});  // dy (1 - 2 / x^2)
  }
  // The number is not rounded to bfloat16, in which 0.3 would be 0.30078125.
  const Tensor eleven = full({1}, 11, DType::bfloat16, Device::cuda);
  CHECK((0.3 / eleven).item() == from_values({1}, {0.3 / 11}, DType::bfloat16).item());
  CHECK_THROWS_WITH(1 / zeros({2}, DType::int64), Catch::Contains("[divide]") && Catch::Contains("int64"));
  CHECK_THROWS_WITH(1 - zeros({2}, DType::int64), Catch::Contains("[subtract]"));
}

TEST_CASE("+= and the like rebind the handle and do not change the old numbers") {
  const Tensor x = from_values({2}, {3, 4}).set_requires_grad();
  Tensor y = x;
  y += x;
  y -= 1;
  y *= x;
  y /= 2;
  y /= full({2}, 2);
  y *= 4;
  y -= full({2}, 5);
  y += 2;
  CHECK(x.values() == std::vector<double>{3, 4});
  CHECK(y.values() == std::vector<double>{12, 25});  // (2 x - 1) x - 3
  (y += 1).backward(ones({2}));
  CHECK(x.grad().values() == std::vector<double>{11, 15});  // 4 x - 1
}

TEST_CASE("gradients of arithmetic over broadcast axes") {
  Random random(3);
  const std::vector<std::pair<Shape, Shape>> shapes = {
      {{1}, {1}}, {{2, 3, 5}, {2, 3, 5}}, {{2, 3, 5}, {5}}, {{7, 1}, {1, 11}},      {{2, 1, 3, 4}, {5, 1, 4}},
      {{3}, {}},  {{0, 4}, {4}},          {{1031}, {1031}}, {{37, 1, 9}, {1, 3, 9}}};
  for (const auto& [sa, sb] : shapes) {
    const Tensor a = randn(sa, random, DType::float64), b = rand(sb, random, 0.5, 2, DType::float64);
    for (auto* op :
         std::initializer_list<Tensor (*)(const Tensor&, const Tensor&)>{add, subtract, multiply, divide})
      CHECK_NOTHROW(check_op([op](const Tensors& in) { return op(in[0], in[1]); }, {a, b}));
    CHECK_NOTHROW(check_op([](const Tensors& in) { return -(in[0] * 3.0 + 2.0); }, {a}));
    CHECK_NOTHROW(check_op([](const Tensors& in) { return 1 - in[0] / 2 + 3.0 * in[0]; }, {a}));
    CHECK_NOTHROW(check_op([](const Tensors& in) { return 0.3 / in[0]; }, {b}));
  }
}

TEST_CASE("sums back from broadcast axes of all layouts") {
  Random random(5);
  // Columns, rows, both between others, and everything, with few terms and with many (several blocks a sum).
  const std::vector<std::pair<Shape, Shape>> shapes = {
      {{1500, 3}, {3}},        {{700, 40}, {40}},         {{3, 1500}, {3, 1}},
      {{40, 33}, {40, 1}},     {{4, 65, 24}, {4, 1, 24}}, {{5, 40, 7}, {40, 1}},
      {{5, 3, 40}, {1, 3, 1}}, {{3, 70, 3}, {3, 1, 3}},   {{5000}, {}},
      {{2, 3}, {2, 1}}};
  for (const auto& [from, to] : shapes) {
    const Tensor x = randn(from, random, DType::float64), one = randn(to, random, DType::float64);
    // Linear in each input: a few probes of the numeric gradient suffice. In bfloat16 the terms of a sum are
    // rounded products, and where they cancel the sum is small compared with their errors; what sum_to()
    // itself adds to that is checked below.
    CHECK_NOTHROW(check_op([](const Tensors& in) { return in[0] * in[1]; }, {x, one},
                           {.max_probes = 5, .bfloat16_tolerance = 3e-2}));
    CHECK_NOTHROW(check_op([to = to](const Tensors& in) { return sum_to(in[0], to); }, {x},
                           {.max_probes = 5, .bfloat16_tolerance = 3e-2}));
    const Tensor sum = sum_to(x, to), on_cuda = sum_to(x.to(Device::cuda), to);
    CHECK(relative_difference(on_cuda, sum) < 1e-14);
    const Tensor rounded = from_values(from, x.values(), DType::bfloat16);
    const Tensor exact = sum_to(from_values(from, rounded.values(), DType::float64), to);
    CHECK(sum_to(rounded.to(Device::cuda), to).values() ==
          from_values(to, exact.values(), DType::bfloat16).values());
  }
  CHECK(sum_to(zeros({0, 4}, DType::float32, Device::cuda), {4}).values() == std::vector<double>(4, 0.0));
}

TEST_CASE("a residual used twice keeps its gradients separate") {
  const Tensor x = from_values({1}, {3}).set_requires_grad();
  (x + x * x + x).backward();
  CHECK(x.grad().item() == 8);
}

TEST_CASE("shapes that do not broadcast are named") {
  CHECK_THROWS_WITH(zeros({2, 3}) + zeros({2}), Catch::Contains("[add] 2x3 and 2 do not broadcast"));
  CHECK_THROWS_WITH(zeros({2}) * zeros({2}, DType::float64), Catch::Contains("float32 and float64"));
  CHECK_THROWS_WITH(zeros({2}) * zeros({2}, DType::float32, Device::cuda), Catch::Contains("is on cpu"));
}
