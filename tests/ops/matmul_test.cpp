#include "ops/matmul.h"

#include <catch2/catch.hpp>

#include "ops/check_op.h"

using namespace fovea;

TEST_CASE("matmul by hand") {
  const Tensor x = from_values({2, 3}, {1, 2, 3, 4, 5, 6}), w = from_values({3, 2}, {1, 0, 0, 1, 1, 1});
  CHECK(matmul(x, w).values() == std::vector<double>{4, 5, 10, 11});
  CHECK(linear(x, w, from_values({2}, {10, 20})).values() == std::vector<double>{14, 25, 20, 31});
}

TEST_CASE("gradients of matrix products") {
  Random random(3);
  const auto sizes =
      std::vector<std::array<int64_t, 3>>{{1, 1, 1}, {5, 7, 3}, {131, 17, 9}, {3, 33, 700}, {1030, 5, 16}};
  for (auto [m, k, n] : sizes) {
    const Tensor x = randn({m, k}, random, DType::float64), w = randn({k, n}, random, DType::float64);
    const Tensor bias = randn({n}, random, DType::float64);
    CheckOptions options{.most_probes = 40};
    CHECK_NOTHROW(check_op([](const Tensors& in) { return matmul(in[0], in[1]); }, {x, w}, options));
    options.parameters = {1, 2};
    CHECK_NOTHROW(
        check_op([](const Tensors& in) { return linear(in[0], in[1], in[2]); }, {x, w, bias}, options));
  }
  const Tensor image = randn({2, 5, 7, 11}, random, DType::float64),
               w = randn({11, 13}, random, DType::float64);
  CHECK_NOTHROW(
      check_op([](const Tensors& in) { return conv1x1(in[0], in[1]); }, {image, w}, {.parameters = {1}}));
}

TEST_CASE("a large product agrees with float64 and between thread counts") {
  Random random(4);
  const Tensor x = randn({4099, 37}, random, DType::float64), w = randn({37, 53}, random, DType::float64);
  CHECK_NOTHROW(check_op([](const Tensors& in) { return matmul(in[0], in[1]); }, {x, w}, {.most_probes = 3}));
}

TEST_CASE("conv1x1 gathers its output's statistics") {
  Random random(5);
  const Tensor x = randn({3, 40, 37, 8}, random), w = randn({8, 6}, random);
  ChannelStatistics statistics;
  const Tensor y = conv1x1(x, w, full({6}, 100), &statistics);
  const auto values = y.values();
  const size_t pixels = values.size() / 6;
  for (size_t c = 0; c < 6; ++c) {
    double mean = 0, variance = 0;
    for (size_t i = c; i < values.size(); i += 6) mean += values[i];
    mean /= double(pixels);
    for (size_t i = c; i < values.size(); i += 6) variance += (values[i] - mean) * (values[i] - mean);
    variance /= double(pixels);
    CHECK(statistics.mean()[c] == Approx(mean).epsilon(1e-6));
    CHECK(statistics.variance()[c] == Approx(variance).epsilon(1e-5));
  }
}

TEST_CASE("products of sizes that disagree are refused with both shapes") {
  CHECK_THROWS_WITH(matmul(zeros({2, 3}), zeros({4, 2})), Catch::Contains("2x3") && Catch::Contains("4x2"));
  CHECK_THROWS_WITH(linear(zeros({2, 3}), zeros({3, 2}), zeros({3})), Catch::Contains("[linear] bias"));
  CHECK_THROWS_WITH(conv1x1(zeros({2, 3}), zeros({3, 2})), Catch::Contains("(N, H, W, C)"));
}
