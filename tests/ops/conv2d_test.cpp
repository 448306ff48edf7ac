#include "ops/conv2d.h"

#include <array>
#include <catch2/catch.hpp>

#include "cuda/cudnn.h"
#include "cuda/kernels/conv2d.h"
#include "cuda/runtime/device.h"
#include "ops/arithmetic.h"
#include "ops/shape_ops.h"
#include "ops/support/attributes.h"
#include "ops/support/channel_statistics.h"
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

// Calls f with our kernels, and once more with cuDNN if it is available.
template <class F>
void with_and_without_cudnn(F&& f) {
  using cuda::cudnn::Use;
  const Use before = cuda::cudnn::use();
  for (const Use use : {Use::never, Use::always}) {
    if (use == Use::always && !cuda::cudnn::available()) continue;
    CAPTURE(int(use));
    cuda::cudnn::set_use(use);
    f();
  }
  cuda::cudnn::set_use(before);
}
}  // namespace

TEST_CASE("a window's padding gives the number of positions and of zeros on each side") {
  struct Row {
    Window window;
    int64_t in, positions, before, after;
  };
  for (const Row& row : std::vector<Row>{{{3, 1, Padding::valid}, 5, 3, 0, 0},
                                         {{3, 2, Padding::valid}, 6, 2, 0, 0},
                                         {{3, 2, Padding::valid}, 2, 0, 0, 0},
                                         {{3, 1, Padding::pixels(2)}, 5, 7, 2, 2},
                                         {{3, 2, Padding::pixels(1)}, 8, 4, 1, 0},
                                         {{7, 2, Padding::pixels(3)}, 224, 112, 3, 2},
                                         {{7, 2, Padding::symmetric}, 224, 112, 3, 2},
                                         {{3, 2, Padding::same}, 224, 112, 0, 1},
                                         {{1, 2, Padding::same}, 7, 4, 0, 0}}) {
    CAPTURE(row.window.kernel, row.window.stride, name(row.window.padding), row.in);
    CHECK(row.window.output_size(row.in) == row.positions);
    CHECK(row.window.pad_before(row.in) == row.before);
    if (row.positions > 0) CHECK(row.window.pad_after(row.in) == row.after);
  }
  CHECK(Padding::pixels(0) == Padding::valid);
  for (const Padding padding : {Padding::same, Padding::symmetric, Padding::valid, Padding::pixels(3)})
    CHECK(parse_padding(name(padding)) == padding);
}

TEST_CASE("dense convolution equals its definition and its gradients the differences") {
  Random random(3);
  const std::vector<std::pair<int64_t, int64_t>> sizes = {{7, 7}, {4, 4}, {1, 1}, {5, 13}, {8, 3}};
  const std::vector<std::pair<int64_t, int64_t>> channels = {{3, 8},  {1, 1}, {4, 17}, {17, 3}, {5, 12},
                                                             {8, 12}, {4, 4}, {32, 1}, {12, 32}};
  size_t variant = 0;  // sizes and channels alternate: their numbers have no common factor
  for (int kernel = 1; kernel <= 7; ++kernel)
    for (int stride : {1, 2, 3})
      for (Padding padding :
           {Padding::same, Padding::symmetric, Padding::valid, Padding::pixels(kernel - 1)}) {
        const Window window{kernel, stride, padding};
        const auto [h, w] = sizes[variant % sizes.size()];
        const auto [in, out] = channels[variant++ % channels.size()];
        if (window.output_size(h) == 0 || window.output_size(w) == 0) continue;
        const Tensor x = randn({2, h, w, in}, random, DType::float64);
        const Tensor f = randn({kernel, kernel, in, out}, random, DType::float64);
        CAPTURE(kernel, stride, name(padding), h, w, in, out);
        CHECK(relative_difference(conv2d(x, f, window), reference(x, f, window)) < 1e-12);
        with_and_without_cudnn([&] {
          CHECK_NOTHROW(check_op([=](const Tensors& i) { return conv2d(i[0], i[1], window); }, {x, f},
                                 {.float32_tolerance = 1e-4,
                                  .max_probes = 8,
                                  .parameters = {1}}));  // a filter of one number: its sum cancels
        });
      }
}

TEST_CASE("dense convolution over several tiles, blocks and pieces") {
  Random random(6);
  struct Row {
    int64_t n, h, w, in, out;
    Window window;
  };
  // Many pixels and few weights; many weights and few pixels; both sums and outputs beyond a tile.
  for (const Row& row : std::vector<Row>{{2, 33, 31, 8, 12, {3, 1, Padding::symmetric}},
                                         {1, 5, 5, 40, 72, {3, 1, Padding::same}},
                                         {1, 37, 29, 17, 5, {5, 3, Padding::valid}},
                                         {2, 23, 24, 12, 68, {2, 2, Padding::same}},
                                         {3, 16, 15, 68, 20, {1, 2, Padding::symmetric}}}) {
    const Tensor x = randn({row.n, row.h, row.w, row.in}, random, DType::float64);
    const Tensor f = randn({row.window.kernel, row.window.kernel, row.in, row.out}, random, DType::float64);
    CAPTURE(row.h, row.w, row.in, row.out);
    CHECK(relative_difference(conv2d(x, f, row.window), reference(x, f, row.window)) < 1e-12);
    with_and_without_cudnn([&] {
      CHECK_NOTHROW(check_op([=](const Tensors& i) { return conv2d(i[0], i[1], row.window); }, {x, f},
                             {.max_probes = 4, .parameters = {1}}));
    });
  }
}

TEST_CASE("a filter of every number of channels from 1 to 9 gives its definition's numbers on both devices") {
  Random random(7);
  for (int64_t in = 1; in <= 9; ++in) {
    const int64_t out = 10 - in;
    const Window window{3, 2, Padding::same};
    const Tensor x = randn({1, 6, 5, in}, random, DType::float64),
                 f = randn({3, 3, in, out}, random, DType::float64), y = reference(x, f, window);
    CAPTURE(in, out);
    CHECK(relative_difference(conv2d(x, f, window), y) < 1e-12);
    CHECK(relative_difference(conv2d(x.to(Device::cuda), f.to(Device::cuda), window).to(Device::cpu), y) <
          1e-12);
  }
}

TEST_CASE("dense convolution adds a bias, whose gradient is the sum over pixels") {
  Random random(8);
  const Tensor x = randn({2, 5, 4, 3}, random, DType::float64),
               w = randn({3, 3, 3, 4}, random, DType::float64), bias = randn({4}, random, DType::float64);
  const Window window{3, 1, Padding::valid};
  CHECK_NOTHROW(check_op([=](const Tensors& i) { return conv2d(i[0], i[1], i[2], window); }, {x, w, bias},
                         {.max_probes = 20, .parameters = {1, 2}}));
  CHECK(relative_difference(conv2d(x, w, bias, window), conv2d(x, w, window) + bias) == 0);
  CHECK_THROWS_WITH(conv2d(x, w, zeros({3}, DType::float64), window),
                    Catch::Contains("bias must be float64 of 4, got float64 of 3"));
}

TEST_CASE("dense convolution of no images has no output and a weight gradient of zeros") {
  for (Device device : {Device::cpu, Device::cuda})
    for (int64_t channels : {3, 5, 8}) {
      const Tensor w = ones({3, 3, channels, 8}, DType::float32, device).set_requires_grad();
      const Tensor y = conv2d(zeros({0, 5, 5, channels}, DType::float32, device), w, {3, 2, Padding::same});
      CHECK(y.shape() == Shape{0, 3, 3, 8});
      y.backward(zeros(y.shape(), DType::float32, device));
      CHECK(w.grad().values() == std::vector<double>(size_t(9 * channels * 8)));
    }
}

TEST_CASE("the simulator has no cuDNN and never calls it, whatever the setting") {
  if (cuda::cudnn::available()) return;
  using cuda::cudnn::Pass;
  CHECK_FALSE(cuda::cudnn::takes<float>(Pass::forward, {1, 8, 8, 8, 8, {3, 1}}));
  CHECK(cuda::conv2d_library_bytes<bfloat16>({1, 8, 8, 8, 8, {3, 1}}) == 0);
  cuda::cudnn::set_use(cuda::cudnn::Use::always);
  CHECK(
      conv2d(ones({1, 3, 3, 8}).to(Device::cuda), ones({3, 3, 8, 4}).to(Device::cuda), {3, 1, Padding::valid})
          .values() == std::vector<double>(4, 72));
  cuda::cudnn::set_use(cuda::cudnn::Use::where_faster);
}

TEST_CASE("a filter is transposed for cuDNN and back, and rounded in the process") {
  const Tensor w = from_values({3, 2}, {1, 2, 3, 4, 5, 1.00390625}).to(Device::cuda);
  Tensor turned({2, 3}, DType::bfloat16, Device::cuda), back({3, 2}, DType::float32, Device::cuda);
  cuda::transpose(w.data<float>(), turned.data<bfloat16>(), 3, 2);
  CHECK(turned.values() == std::vector<double>{1, 3, 5, 2, 4, 1});
  cuda::transpose(turned.data<bfloat16>(), back.data<float>(), 2, 3);
  CHECK(back.values() == std::vector<double>{1, 2, 3, 4, 5, 1});
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

TEST_CASE("dense convolution gathers its output's statistics, with few input channels and with many") {
  Random random(4);
  for (const int64_t in : {3, 20}) {
    const Tensor x = randn({2, 33, 31, in}, random), w = randn({3, 3, in, 32}, random);
    ChannelStatistics fused, separate;
    const Tensor y = conv2d(x, w, {3, 2}, &fused);
    gather(separate, y.data<float>(), y.numel() / 32, 32);
    for (size_t c = 0; c < 32; ++c) {
      CHECK(fused.mean()[c] == Approx(separate.mean()[c]).margin(1e-5));
      CHECK(fused.variance()[c] == Approx(separate.variance()[c]).epsilon(1e-5));
    }
  }
}

TEST_CASE("the stem's weight gradient on tensor cores equals the CPU's") {
  // Both paddings, the strides, one and several column tiles, a last group of pixels that is not full, rows
  // that are shorter than a group, more pixels than a launch has in its first step, and two that it leaves to
  // strips.
  struct Case {
    Shape image;
    int64_t out;
    Window window;
  };
  const Case cases[] = {
      {{2, 9, 14, 3}, 8, {3, 2, Padding::same}},        {{2, 9, 14, 3}, 8, {3, 2, Padding::symmetric}},
      {{1, 51, 58, 3}, 40, {3, 2, Padding::symmetric}}, {{3, 8, 4, 3}, 16, {3, 2, Padding::same}},
      {{1, 40, 42, 3}, 72, {3, 4, Padding::valid}},     {{1, 601, 600, 3}, 32, {3, 2, Padding::same}},
      {{1, 20, 22, 3}, 32, {3, 1, Padding::same}},      {{1, 20, 21, 3}, 32, {3, 2, Padding::same}}};
  Random random(9);
  for (const auto& [image, out, window] : cases) {
    CAPTURE(image[1], image[2], out, window.stride);
    Tensor gradients[2];
    const Tensor x = cast(randn(image, random), DType::bfloat16), w = randn({3, 3, 3, out}, random);
    const Tensor dy =
        cast(randn(conv2d(cast(x, DType::float32), w, window).shape(), random), DType::bfloat16);
    for (const Device device : {Device::cpu, Device::cuda}) {
      const DType dtype = device == Device::cpu ? DType::float64 : DType::bfloat16;
      const Tensor weight = (device == Device::cpu ? cast(w, DType::float64) : w.to(device)).detach();
      weight.set_requires_grad();
      conv2d(cast(x.to(device), dtype), weight, window).backward(cast(dy.to(device), dtype));
      gradients[device == Device::cuda] = weight.grad();
    }
    CHECK(relative_difference(gradients[1], gradients[0]) < 1e-6);
    for (const auto order : {cuda::ThreadOrder::reverse, cuda::ThreadOrder::shuffled}) {
      if (image[1] > 100) continue;  // which would take seconds
      const Tensor weight = w.to(Device::cuda).detach();
      weight.set_requires_grad();
      cuda::set_thread_order(order);
      conv2d(x.to(Device::cuda), weight, window).backward(dy.to(Device::cuda));
      cuda::set_thread_order(cuda::ThreadOrder::forward);
      CHECK(relative_difference(weight.grad(), gradients[1]) == 0);
    }
  }
}

TEST_CASE("on CUDA the statistics of the stem are left to batch norm") {
  ChannelStatistics statistics;
  const Tensor y = conv2d(zeros({1, 5, 5, 3}, DType::bfloat16, Device::cuda),
                          zeros({3, 3, 3, 8}, DType::float32, Device::cuda), {3, 2}, &statistics);
  CHECK(y.dtype() == DType::bfloat16);
  CHECK(!statistics.ready());
}

TEST_CASE("dense convolution refuses weights, windows and paddings that do not fit") {
  using Catch::Contains;
  const Tensor image = zeros({1, 4, 4, 3}), filter = zeros({3, 3, 3, 8});
  CHECK_THROWS_WITH(conv2d(image, filter, {5, 1}), Contains("5x5x3xCout") && Contains("3x3x3x8"));
  CHECK_THROWS_WITH(conv2d(image, filter.to(Device::cuda), {3, 1}),
                    Contains("is on cpu") && Contains("on cuda"));
  CHECK_THROWS_WITH(conv2d(image, zeros({3, 3, 3, 8}, DType::float64), {3, 1}),
                    Contains("float32 of 3x3x3xCout") && Contains("float64"));
  CHECK_THROWS_WITH(conv2d(image, filter, {3, 0}), Contains("kernel 3 and stride 0 must be at least 1"));
  CHECK_THROWS_WITH(conv2d(zeros({1, 4, 2, 3}), filter, {3, 2, Padding::valid}),
                    Contains("x 1x4x2x3 is smaller than the 3x3 window"));
  CHECK_THROWS_WITH(conv2d(image, filter, {3, 1, Padding::pixels(3)}),
                    Contains("a padding of 3 pixels must be at least 0 and smaller than the kernel, 3"));
  CHECK_THROWS_WITH(conv2d(image, filter, {3, 1, Padding::pixels(-1)}), Contains("a padding of -1 pixels"));
  CHECK_THROWS_WITH(conv2d(zeros({1, 4, 4, 0}), zeros({3, 3, 0, 8}), {3, 1}), Contains("both need channels"));
  CHECK_THROWS_WITH(conv2d(zeros({1, 4, 4, 3}), zeros({3, 3, 4, 8}), {3, 1}), Catch::Contains("3x3x4x8"));
  CHECK_THROWS_WITH(conv2d(zeros({4, 32, 32, 16}), zeros({3, 3, 32, 8}), {3, 1}),
                    Catch::Contains("x 4x32x32x16 has 16 channels, w 3x3x32x8 takes 32") &&
                        Catch::Contains(": images are (N, H, W, C)"));  // axis 1 would fit
  CHECK_THROWS_WITH(conv2d(zeros({4, 8, 8, 16}), zeros({3, 3, 32, 8}), {3, 1}),
                    !Catch::Contains("(N, H, W, C)"));
  CHECK_THROWS_WITH(conv2d(zeros({4, 4, 3}), zeros({3, 3, 3, 8}), {3, 1}), Catch::Contains("4x4x3"));
}
