#include "ops/conv2d.h"

#include <array>
#include <catch2/catch.hpp>

#include "ops/support/check_op.h"

using namespace fovea;

namespace {
Tensor reference(const Tensor& x, const Tensor& w, Window window) {
  const int64_t N = x.size(0), H = x.size(1), W = x.size(2), C = x.size(3), O = w.size(3);
  const int64_t OH = window.output_size(H), OW = window.output_size(W);
  Tensor y = zeros({N, OH, OW, O}, x.dtype());
  for (int64_t n = 0; n < N; ++n)
    for (int64_t i = 0; i < OH; ++i)
      for (int64_t j = 0; j < OW; ++j)
        for (int a = 0; a < window.kernel; ++a)
          for (int b = 0; b < window.kernel; ++b) {
            const int64_t yy = i * window.stride + a - window.pad_before(H),
                          xx = j * window.stride + b - window.pad_before(W);
            if (yy < 0 || yy >= H || xx < 0 || xx >= W) continue;
            for (int64_t c = 0; c < C; ++c)
              for (int64_t o = 0; o < O; ++o)
                y.data<double>()[((n * OH + i) * OW + j) * O + o] +=
                    x.data<double>()[((n * H + yy) * W + xx) * C + c] *
                    w.data<double>()[((a * window.kernel + b) * C + c) * O + o];
          }
  return y;
}
}  // namespace

TEST_CASE("dense convolution equals its definition and its gradients the differences") {
  Random random(3);
  for (int kernel : {1, 3, 4})
    for (int stride : {1, 2, 3})
      for (Padding padding : {Padding::same, Padding::symmetric})
        for (auto [h, w] : {std::pair<int64_t, int64_t>{4, 4}, {7, 20}})
          for (auto [in, out] : {std::pair<int64_t, int64_t>{3, 8}, {1, 1}, {4, 17}, {5, 12}}) {
            const Window window{kernel, stride, padding};
            const Tensor x = randn({2, h, w, in}, random, DType::float64);
            const Tensor f = randn({kernel, kernel, in, out}, random, DType::float64);
            CAPTURE(kernel, stride, int(padding), h, w, in, out);
            CHECK(relative_difference(conv2d(x, f, window), reference(x, f, window)) < 1e-12);
            CHECK_NOTHROW(check_op([=](const Tensors& i) { return conv2d(i[0], i[1], window); }, {x, f},
                                   {.float32_tolerance = 1e-4,
                                    .max_probes = 10,
                                    .parameters = {1}}));  // a filter of one number: its sum cancels
          }
}

TEST_CASE("the stem over several blocks, and a filter too large for shared memory") {
  Random random(5);
  for (auto [n, h, w, in, out] :
       {std::array<int64_t, 5>{3, 37, 45, 3, 32}, {1, 35, 16, 3, 136}, {1, 3, 5, 32, 64}}) {
    const Window window{3, 2, n == 3 ? Padding::same : Padding::symmetric};
    const Tensor x = randn({n, h, w, in}, random, DType::float64);
    const Tensor f = randn({3, 3, in, out}, random, DType::float64);
    CAPTURE(h, w, in, out);
    CHECK_NOTHROW(check_op([=](const Tensors& i) { return conv2d(i[0], i[1], window); }, {x, f},
                           {.max_probes = 4, .parameters = {1}}));
  }
}

TEST_CASE("the stem gathers its output's statistics") {
  Random random(4);
  const Tensor x = randn({2, 33, 31, 3}, random), w = randn({3, 3, 3, 32}, random);
  ChannelStatistics fused, separate;
  const Tensor y = conv2d(x, w, {3, 2}, &fused);
  gather(separate, y.data<float>(), y.numel() / 32, 32);
  for (size_t c = 0; c < 32; ++c) CHECK(fused.variance()[c] == Approx(separate.variance()[c]).epsilon(1e-5));
}

TEST_CASE("on CUDA the statistics of the stem are left to batch norm") {
  ChannelStatistics statistics;
  const Tensor y = conv2d(zeros({1, 5, 5, 3}, DType::bfloat16, Device::cuda),
                          zeros({3, 3, 3, 8}, DType::float32, Device::cuda), {3, 2}, &statistics);
  CHECK(y.dtype() == DType::bfloat16);
  CHECK(!statistics.ready());
}

TEST_CASE("dense convolution refuses weights that do not fit") {
  CHECK_THROWS_WITH(conv2d(zeros({1, 4, 4, 3}), zeros({3, 3, 4, 8}), {3, 1}), Catch::Contains("3x3x4x8"));
  CHECK_THROWS_WITH(conv2d(zeros({4, 4, 3}), zeros({3, 3, 3, 8}), {3, 1}), Catch::Contains("4x4x3"));
}
