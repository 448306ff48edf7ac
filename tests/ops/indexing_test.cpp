#include "ops/indexing.h"

#include <catch2/catch.hpp>
#include <cmath>

#include "ops/shape_ops.h"
#include "ops/support/check_op.h"

using namespace fovea;

namespace {

// Indices below `size` in a shape; each probably occurs more than once.
Tensor indices_below(int64_t size, Shape shape, Random& random) {
  Tensor indices(shape, DType::int64);
  for (int64_t& index : indices.span<int64_t>()) index = random.below(size);
  return indices;
}

}  // namespace

TEST_CASE("gathering by hand, as torch.gather does, with either dtype of indices") {
  for (const Device device : {Device::cpu, Device::cuda})
    for (const DType dtype : {DType::int32, DType::int64}) {
      const auto index = [&](Shape shape, const std::vector<double>& values) {
        return from_values(shape, values, dtype).to(device);
      };
      const Tensor x = from_values({2, 3}, {1, 2, 3, 4, 5, 6}).to(device).clone().set_requires_grad();
      CHECK(gather(x, 1, index({2, 1}, {2, 0})).values() == std::vector<double>{3, 4});
      CHECK(gather(x, 0, index({1, 2}, {1, 0})).values() == std::vector<double>{4, 2});  // a shorter row
      CHECK(gather(x, 0, index({0, 3}, {})).shape() == Shape{0, 3});
      const Tensor y = gather(x, -1, index({2, 4}, {0, 1, 1, 1, 2, 2, 0, 2}));
      CHECK(y.values() == std::vector<double>{1, 2, 2, 2, 6, 6, 4, 6});
      y.backward(from_values({2, 4}, {1, 2, 3, 4, 5, 6, 7, 8}).to(device));
      CHECK(x.grad().values() == std::vector<double>{1, 9, 0, 7, 0, 19});
      x.clear_grad();
      gather(x, 0, index({3, 1}, {1, 1, 0})).backward(from_values({3, 1}, {1, 2, 4}).to(device));
      CHECK(x.grad().values() == std::vector<double>{4, 0, 0, 3, 0, 0});
    }
}

TEST_CASE("gradients of gathering") {
  Random random(11);
  const std::vector<std::tuple<Shape, int, Shape>> cases = {{{1}, 0, {1}},
                                                            {{7}, 0, {13}},
                                                            {{5, 7}, 1, {5, 3}},
                                                            {{5, 7}, 0, {31, 7}},
                                                            {{3, 5, 7}, 1, {2, 4, 7}},
                                                            {{2, 3, 4, 5}, 3, {2, 3, 4, 1}},
                                                            {{601, 37}, 1, {601, 2}}};
  for (const auto& [shape, axis, taken] : cases) {
    const Tensor indices = indices_below(shape[axis], taken, random);
    for (const DType dtype : {DType::int32, DType::int64})
      CHECK_NOTHROW(check_op(
          [axis = axis, indices = cast(indices, dtype)](const Tensors& in) {
            return gather(in[0], axis, indices.to(in[0].device()));
          },
          {randn(shape, random, DType::float64)}, {.max_probes = 20}));
  }
}

TEST_CASE("an index out of range is named, and on CUDA gives NaN, also in the gradient of its line") {
  CHECK_THROWS_WITH(gather(zeros({2, 3}), 1, from_values({2, 1}, {0, 3}, DType::int32)),
                    "[gather] index 3, element 1 of the indices, is not in 0 to 2");
  for (const double wrong : {-1.0, 3.0}) {
    const Tensor x = ones({2, 3}, DType::float32, Device::cuda).set_requires_grad();
    const Tensor y = gather(x, 1, from_values({2, 1}, {1, wrong}, DType::int64).to(Device::cuda));
    y.backward(ones({2, 1}, DType::float32, Device::cuda));
    CHECK(y.values()[0] == 1);
    CHECK(std::isnan(y.values()[1]));
    const std::vector<double> dx = x.grad().values();
    CHECK(dx[1] == 1);
    CHECK(std::isnan(dx[3]));
  }
}

TEST_CASE("gathering refuses what does not fit") {
  CHECK_THROWS_WITH(gather(zeros({2, 3}), 1, zeros({2, 1})), Catch::Contains("the indices are float32"));
  CHECK_THROWS_WITH(
      gather(zeros({2, 3}), 1, zeros({2}, DType::int32)),
      "[gather] indices of 2 do not fit x 2x3: use as many axes, none longer than x's but axis 1");
  CHECK_THROWS_WITH(gather(zeros({2, 3}), 1, zeros({3, 1}, DType::int32)), Catch::Contains("do not fit"));
  CHECK_THROWS_WITH(gather(zeros({2, 3}), 1, zeros({2, 1}, DType::int32, Device::cuda)),
                    Catch::Contains("[gather]") && Catch::Contains("is on cpu"));
  CHECK_THROWS_WITH(gather(zeros({2, 3}, DType::int32), 1, zeros({2, 1}, DType::int32)),
                    Catch::Contains("[gather]") && Catch::Contains("got int32"));
}

TEST_CASE("where chooses by hand, and repeats all three operands") {
  for (const Device device : {Device::cpu, Device::cuda}) {
    const Tensor condition = from_values({3}, {0, 1, 255}, DType::uint8).to(device);
    const Tensor a = from_values({2, 3}, {1, 2, 3, 4, 5, 6}).to(device).clone().set_requires_grad();
    const Tensor b = from_values({2, 1}, {-1, -2}).to(device).clone().set_requires_grad();
    const Tensor y = where(condition, a, b);
    CHECK(y.values() == std::vector<double>{-1, 2, 3, -2, 5, 6});
    y.backward(from_values({2, 3}, {1, 2, 3, 4, 5, 6}).to(device));
    CHECK(a.grad().values() == std::vector<double>{0, 2, 3, 0, 5, 6});
    CHECK(b.grad().values() == std::vector<double>{1, 4});
    // A NaN that is not selected has no effect.
    const Tensor nan = full({3}, NAN).to(device);
    CHECK(where(condition, full({}, 1).to(device), nan).values()[2] == 1);
  }
}

TEST_CASE("gradients of where, over all ways to repeat") {
  Random random(12);
  const std::vector<std::tuple<Shape, Shape, Shape>> cases = {
      {{1}, {1}, {1}},         {{2, 3, 5}, {2, 3, 5}, {2, 3, 5}}, {{7, 1}, {11}, {7, 11}},
      {{3, 5}, {}, {2, 1, 5}}, {{1031}, {1031}, {1031}},          {{37, 1, 9}, {1, 3, 9}, {9}},
      {{0, 4}, {4}, {0, 4}}};
  for (const auto& [sc, sa, sb] : cases) {
    const Tensor condition = cast(rand(sc, random, 0, 2), DType::uint8);
    // Sums of bfloat16 numbers that cancel are small compared with their errors.
    CHECK_NOTHROW(
        check_op([condition](const Tensors& in) { return where(condition.to(in[0].device()), in[0], in[1]); },
                 {randn(sa, random, DType::float64), randn(sb, random, DType::float64)},
                 {.max_probes = 20, .bfloat16_tolerance = 3e-2}));
  }
}

TEST_CASE("where refuses what does not fit") {
  const Tensor condition = zeros({2}, DType::uint8);
  CHECK_THROWS_WITH(where(zeros({2}), zeros({2}), zeros({2})),
                    "[where] the condition is float32: give uint8, 0 or not 0");
  CHECK_THROWS_WITH(where(condition, zeros({2}), zeros({2}, DType::float64)),
                    Catch::Contains("dtypes differ"));
  CHECK_THROWS_WITH(where(condition, zeros({3}), zeros({3})),
                    Catch::Contains("[where]") && Catch::Contains("broadcast"));
  CHECK_THROWS_WITH(where(condition, zeros({2}, DType::int32), zeros({2}, DType::int32)),
                    Catch::Contains("got int32"));
  CHECK_THROWS_WITH(where(condition, zeros({2}), zeros({2}, DType::float32, Device::cuda)),
                    Catch::Contains("is on cpu"));
}
