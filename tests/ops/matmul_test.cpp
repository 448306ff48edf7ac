#include "ops/matmul.h"

#include <catch2/catch.hpp>

#include "core/dry_run.h"
#include "cuda/kernels/gemm.h"
#include "cuda/kernels/gemm_tiled.h"
#include "cuda/runtime/counters.h"
#include "cuda/runtime/memory.h"
#include "ops/arithmetic.h"
#include "ops/batch_norm.h"
#include "ops/shape_ops.h"
#include "ops/support/channel_statistics.h"
#include "ops/support/check_op.h"

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
    CheckOptions options{.max_probes = 40};
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
  CHECK_NOTHROW(check_op([](const Tensors& in) { return matmul(in[0], in[1]); }, {x, w}, {.max_probes = 3}));
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

TEST_CASE("on CUDA the statistics of a 1x1 convolution are those that batch norm takes itself") {
  Random random(4);
  const Tensor x = cast(rand({9, 67, 64, 24}, random), DType::bfloat16).to(Device::cuda);
  const Tensor w = rand({24, 40}, random).to(Device::cuda), b = full({40}, 20).to(Device::cuda);
  ChannelStatistics statistics;
  const Tensor y = conv1x1(x, w, b, &statistics);
  CHECK(y.values() == conv1x1(x, w, b).values());
  REQUIRE(statistics.chunk_rows().defined());
  const Tensor weight = rand({40}, random).to(Device::cuda), bias = weight.clone();
  const auto normalized = [&](const ChannelStatistics* given) {
    const Tensor mean = zeros({40}, DType::float32, Device::cuda), variance = mean.clone();
    const Tensor z =
        batch_norm(y, weight, bias, mean, variance, {.momentum = 1, .activation = Activation::swish}, given);
    return Tensors{mean, variance, z};
  };
  const Tensors given = normalized(&statistics), own = normalized(nullptr);
  CHECK(relative_difference(given[0], own[0]) < 1e-6);
  CHECK(relative_difference(given[1], own[1]) < 1e-5);
  CHECK(relative_difference(given[2], own[2]) < 1e-2);
}

TEST_CASE("which products our own kernel computes, and their gradients") {
  CHECK(cuda::prefers_tiles(4096, 96, 24));
  CHECK(!cuda::prefers_tiles(4095, 96, 24));    // few rows
  CHECK(!cuda::prefers_tiles(4096, 192, 144));  // bound by arithmetic
  CHECK(!cuda::prefers_tiles(4096, 24, 900));   // does not fit into shared memory
  CHECK(!cuda::prefers_tiles(4096, 36, 64));    // no whole packs
  Random random(5);
  const Tensor x = randn({4099, 24}, random, DType::float64), w = randn({24, 40}, random, DType::float64),
               bias = randn({40}, random, DType::float64);
  CHECK_NOTHROW(check_op([](const Tensors& in) { return linear(in[0], in[1], in[2]); }, {x, w, bias},
                         {.max_probes = 3, .parameters = {1, 2}}));
}

TEST_CASE("a product adds to the gradient that its input has from another, without a separate pass") {
  Random random(4);
  // Rows and columns in blocks, and the few rows of a classifier.
  for (auto [m, k, n] : {std::tuple<int64_t, int64_t, int64_t>{130, 40, 24}, {3, 600, 7}})
    for (const Device device : {Device::cpu, Device::cuda}) {
      const Tensor w1 = randn({k, n}, random).to(device), w2 = randn({k, n}, random).to(device);
      const Tensor x = randn({m, k}, random).to(device).clone().set_requires_grad();
      const Tensor dy = randn({m, n}, random).to(device);
      Tensors apart;
      for (const Tensor& w : {w1, w2}) {
        matmul(x, w).backward(dy);
        apart.push_back(x.grad());
        x.clear_grad();
      }
      const Tensor first = matmul(x, w1), second = matmul(x, w2);
      first.backward(dy);
      const int64_t before = cuda::counters().launches;
      second.backward(dy);
      CHECK(cuda::counters().launches == before);  // the library's products do not count as our launches
      CHECK(relative_difference(x.grad(), apart[0] + apart[1]) < 1e-6);
    }
}

TEST_CASE("products of sizes that disagree are refused with both shapes") {
  CHECK_THROWS_WITH(matmul(zeros({2, 3}), zeros({4, 2})), Catch::Contains("2x3") && Catch::Contains("4x2"));
  CHECK_THROWS_WITH(linear(zeros({5, 2, 3}), zeros({4, 2}), {}),
                    Catch::Contains("[linear] x 5x2x3 has 3 columns, w 4x2 takes 4"));
  CHECK_THROWS_WITH(conv1x1(zeros({2, 4, 8, 8}), zeros({4, 2})),
                    Catch::Contains("x 2x4x8x8 has 8 channels, w 4x2 takes 4: images are (N, H, W, C)"));
  CHECK_THROWS_WITH(linear(zeros({2, 3}), zeros({3, 2}), zeros({3})), Catch::Contains("[linear] bias"));
  CHECK_THROWS_WITH(conv1x1(zeros({2, 3}), zeros({3, 2})), Catch::Contains("(N, H, W, C)"));
}

TEST_CASE("a bfloat16 product takes its bias rounded, and gives a gradient in float32") {
  // 1 + 2^-8 is between two bfloat16 numbers and is rounded to 1; with the bias unrounded the sum would be 1
  // + 2^-7.
  const Tensor x = cast(full({1, 1}, 1).to(Device::cuda), DType::bfloat16);
  const Tensor w = full({1, 1}, 0x1p-8).to(Device::cuda);
  const Tensor bias = full({1}, 1 + 0x1p-8).to(Device::cuda).set_requires_grad();
  const Tensor y = linear(x, w, bias);
  CHECK(y.dtype() == DType::bfloat16);
  CHECK(y.values() == std::vector<double>{1});
  y.backward(cast(full({1, 1}, 3).to(Device::cuda), DType::bfloat16));
  CHECK(bias.grad().dtype() == DType::float32);
  CHECK(bias.grad().values() == std::vector<double>{3});

  Random random(6);
  for (auto [m, k, n] : std::vector<std::array<int64_t, 3>>{{3, 5, 7}, {64, 129, 33}}) {
    const auto rounded = [](const Tensor& t) {
      return from_values(t.shape(), from_values(t.shape(), t.values(), DType::bfloat16).values(),
                         DType::float64);
    };
    const Tensor a = randn({m, k}, random), b = randn({k, n}, random), c = randn({n}, random);
    const Tensor on_device =
        linear(cast(a.to(Device::cuda), DType::bfloat16), b.to(Device::cuda), c.to(Device::cuda));
    const std::vector<double> expected = linear(rounded(a), rounded(b), rounded(c)).values(),
                              got = on_device.values();
    REQUIRE(got.size() == expected.size());
    double most = 0;  // the result is rounded once, from a sum in float32
    for (size_t i = 0; i < got.size(); ++i)
      most = std::max(most, std::abs(got[i] - expected[i]) / (0x1p-8 * std::abs(expected[i]) + 1e-5));
    CHECK(most <= 1);
  }
}

TEST_CASE("a dry run counts what products take on CUDA, workspace included") {
  const auto step = [] {
    const Tensor x = zeros({5, 7}, DType::float32, Device::cuda).set_requires_grad();
    const Tensor w = zeros({7, 3}, DType::float32, Device::cuda).set_requires_grad();
    matmul(x, w).backward(zeros({5, 3}, DType::float32, Device::cuda));
  };
  const int64_t before = cuda::device_memory_use().current;
  cuda::reset_device_peak();
  step();
  const int64_t taken = cuda::device_memory_use().peak - before;
  CHECK(taken > cuda::gemm_workspace_bytes);
  const DryRun dry;
  step();
  CHECK(dry.memory(Device::cuda).peak == taken);
}

TEST_CASE("products over no terms are zero, or the bias") {
  for (const Device device : {Device::cpu, Device::cuda}) {
    CAPTURE(name(device));
    const Tensor x = zeros({2, 0}).to(device), w = zeros({0, 3}).to(device);
    CHECK(matmul(x, w).values() == std::vector<double>(6, 0));
    CHECK(linear(x, w, from_values({3}, {1, 2, 3}).to(device)).values() ==
          std::vector<double>{1, 2, 3, 1, 2, 3});
    const Tensor a = ones({2, 4}).to(device).set_requires_grad();
    matmul(a, zeros({4, 0}).to(device)).backward(zeros({2, 0}).to(device));
    CHECK(a.grad().values() == std::vector<double>(8, 0));
    CHECK(matmul(zeros({0, 4}).to(device), ones({4, 3}).to(device)).shape() == Shape{0, 3});
  }
}
