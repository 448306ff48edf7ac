#include "ops/depthwise_conv2d.h"

#include <array>
#include <catch2/catch.hpp>
#include <numeric>

#include "core/autograd.h"
#include "cuda/runtime/device.h"
#include "cuda/runtime/profile.h"
#include "ops/batch_norm.h"
#include "ops/shape_ops.h"
#include "ops/support/attributes.h"
#include "ops/support/channel_statistics.h"
#include "ops/support/check_op.h"
#include "ops/support/dispatch.h"

using namespace fovea;

namespace {
// The definition, pixel by pixel.
Tensor reference(const Tensor& x, const Tensor& w, Window window) {
  const int64_t N = x.size(0), H = x.size(1), W = x.size(2), C = x.size(3);
  const int64_t OH = window.output_size(H), OW = window.output_size(W);
  Tensor y = zeros({N, OH, OW, C}, x.dtype());
  const double *in = x.data<double>(), *f = w.data<double>();
  for (int64_t n = 0; n < N; ++n)
    for (int64_t i = 0; i < OH; ++i)
      for (int64_t j = 0; j < OW; ++j)
        for (int a = 0; a < window.kernel; ++a)
          for (int b = 0; b < window.kernel; ++b) {
            const int64_t yy = i * window.stride + a - window.pad_before(H),
                          xx = j * window.stride + b - window.pad_before(W);
            if (yy < 0 || yy >= H || xx < 0 || xx >= W) continue;
            for (int64_t c = 0; c < C; ++c)
              y.data<double>()[((n * OH + i) * OW + j) * C + c] +=
                  in[((n * H + yy) * W + xx) * C + c] * f[(a * window.kernel + b) * C + c];
          }
  return y;
}
}  // namespace

TEST_CASE("TensorFlow's SAME pads even inputs at stride two after only") {
  CHECK(Window{3, 2, Padding::same}.pad_before(224) == 0);
  CHECK(Window{5, 2, Padding::same}.pad_before(112) == 1);
  CHECK(Window{3, 2, Padding::same}.pad_before(7) == 1);
  CHECK(Window{3, 2, Padding::symmetric}.pad_before(224) == 1);
  CHECK(Window{5, 2, Padding::same}.output_size(7) == 4);
  CHECK(Window{3, 2, Padding::symmetric}.output_size(8) == 4);
}

TEST_CASE("depthwise convolution equals its definition and its gradients the differences") {
  Random random(3);
  int variant = 0;
  for (int kernel : {3, 5})
    for (int stride : {1, 2})
      for (Padding padding : {Padding::same, Padding::symmetric, Padding::valid, Padding::pixels(1),
                              Padding::pixels(kernel - 1)})
        for (auto [h, w] : {std::pair<int64_t, int64_t>{1, 1}, {2, 5}, {7, 8}, {13, 3}, {5, 31}})
          for (int64_t channels : {1, 7, 16, 17, 35}) {
            if (++variant % 2 == 0 && channels != 17)
              continue;  // only every other row of the grid, to keep the run short
            const Window window{kernel, stride, padding};
            if (window.output_size(h) == 0 || window.output_size(w) == 0) continue;
            const Tensor x = randn({2, h, w, channels}, random, DType::float64);
            const Tensor f = randn({kernel, kernel, channels}, random, DType::float64);
            CAPTURE(kernel, stride, name(padding), h, w, channels);
            CHECK(relative_difference(depthwise_conv2d(x, f, window), reference(x, f, window)) < 1e-12);
            CHECK_NOTHROW(check_op([=](const Tensors& in) { return depthwise_conv2d(in[0], in[1], window); },
                                   {x, f},
                                   {.gradient_tolerance = 1e-6, .max_probes = 12, .parameters = {1}}));
          }
}

TEST_CASE("depthwise convolution over many tiles, with channels for several blocks") {
  Random random(5);
  for (int kernel : {3, 5})
    for (int stride : {1, 2})
      for (auto [n, h, w, channels] :
           {std::array<int64_t, 4>{1, 13, 21, 136}, {3, 18, 16, 12}, {1, 1, 67, 4}}) {
        const Window window{kernel, stride, n == 1 ? Padding::same : Padding::symmetric};
        const Tensor x = randn({n, h, w, channels}, random, DType::float64);
        const Tensor f = randn({kernel, kernel, channels}, random, DType::float64);
        CAPTURE(kernel, stride, h, w, channels);
        CHECK_NOTHROW(check_op([=](const Tensors& in) { return depthwise_conv2d(in[0], in[1], window); },
                               {x, f}, {.max_probes = 4, .parameters = {1}}));
      }
}

// Enough tiles for threads of 8 rows, and for weight gradients whose partial sums are added in two stages.
TEST_CASE("depthwise convolution of a large tensor in bfloat16 is that of float32") {
  Random random(7);
  const Tensor x = cast(randn({2, 17, 333, 512}, random).to(Device::cuda), DType::bfloat16);
  for (const Window window : {Window{3, 1}, Window{5, 2}}) {
    const Tensor w = randn({window.kernel, window.kernel, 512}, random);
    const Shape out{2, window.output_size(17), window.output_size(333), 512};
    const Tensor dy = cast(randn(out, random).to(Device::cuda), DType::bfloat16);
    const auto run = [&](Device device, DType dtype) {
      const Tensor in = cast(x, dtype).to(device).detach().set_requires_grad(),
                   filter = w.to(device).detach().set_requires_grad();
      const Tensor y = depthwise_conv2d(in, filter, window);
      y.backward(cast(dy, dtype).to(device));
      return Tensors{y.detach(), in.grad(), filter.grad()};
    };
    const Tensors exact = run(Device::cpu, DType::float32), ours = run(Device::cuda, DType::bfloat16);
    CAPTURE(window.kernel, window.stride);
    for (size_t i = 0; i < 3; ++i)
      CHECK(relative_difference(cast(ours[i], DType::float32).to(Device::cpu), exact[i]) <
            (i == 2 ? 1e-5 : 1e-2));
    if (window.stride == 2) continue;
    cuda::set_thread_order(cuda::ThreadOrder::shuffled);
    const Tensors again = run(Device::cuda, DType::bfloat16);
    cuda::set_thread_order(cuda::ThreadOrder::forward);
    CHECK(again[2].values() == ours[2].values());
  }
}

namespace {
// y, dx and dw of a convolution of levels.
Tensors with_gradients(const Tensor& x, const Tensor& w, const Tensor& dy, const PyramidShape& shape) {
  const Tensor in = x.detach().set_requires_grad(), filter = w.detach().set_requires_grad();
  const Tensor y = depthwise_conv2d(in, filter, shape);
  y.backward(dy);
  return {y.detach(), in.grad(), filter.grad()};
}
}  // namespace

TEST_CASE("depthwise convolution on tensor cores is that of float32 with a rounded filter") {
  Random random(8);
  const auto rounded = [](const Tensor& x) {
    return cast(cast(x.to(Device::cuda), DType::bfloat16), DType::float32).to(Device::cpu);
  };
  // Tiles that maps cut, a last slab of eight channels, several tiles per block, and two stages of sums.
  struct Case {
    int64_t images, channels;
    PyramidShape shape;
  };
  for (const Case& c : {Case{15, 40, {{{37, 33}}}}, Case{4, 232, {{{32, 48}, {16, 24}, {7, 9}, {1, 1}}}}})
    for (const int64_t kernel : {3, 5}) {
      const int64_t pixels = c.shape.pixels();
      const Tensor x = rounded(randn({c.images, pixels, c.channels}, random)),
                   dy = rounded(randn(x.shape(), random)), w = randn({kernel, kernel, c.channels}, random);
      const Tensors exact = with_gradients(x, rounded(w), dy, c.shape);
      const auto ours = [&] {
        const auto on_gpu = [](const Tensor& t) { return cast(t.to(Device::cuda), DType::bfloat16); };
        return with_gradients(on_gpu(x), w.to(Device::cuda), on_gpu(dy), c.shape);
      };
      CAPTURE(kernel, c.images, c.channels, pixels);
      cuda::LaunchTimer timer;
      const Tensors first = ours();
      timer.stop();
      std::string kernels;
      for (const cuda::LaunchTime& launch : timer.times()) kernels += launch.kernel + ' ';
      for (const char* name :
           {"depthwise_diagonals<", "input_gradient_diagonals<", "weight_gradient_diagonals<"})
        CHECK_THAT(kernels, Catch::Contains(name));
      for (size_t i = 0; i < 3; ++i)
        CHECK(relative_difference(cast(first[i], DType::float32).to(Device::cpu), exact[i]) <
              (i == 2 ? 1e-5 : 4e-3));
      if ((kernel == 3) == (c.images == 4)) continue;  // each run takes seconds
      cuda::set_thread_order(cuda::ThreadOrder::shuffled);
      const Tensors again = ours();
      cuda::set_thread_order(cuda::ThreadOrder::forward);
      for (size_t i = 0; i < 3; ++i) CHECK(again[i].values() == first[i].values());
    }
}

namespace {
// A pyramid's convolution as those of its levels, each a separate tensor.
Tensor level_by_level(const Tensor& x, const Tensor& w, const PyramidShape& shape) {
  Tensors levels;
  int64_t begin = 0;
  for (const auto& [height, width] : shape.levels) {
    const int64_t end = begin + height * width;
    const Tensor level = reshape(slice(x, 1, begin, end), {x.size(0), height, width, x.size(2)});
    const Tensor y = depthwise_conv2d(level, w, {int(w.size(0)), 1, Padding::same});
    levels.push_back(reshape(y, {x.size(0), height * width, x.size(2)}));
    begin = end;
  }
  return concat(levels, 1);
}
}  // namespace

TEST_CASE("depthwise convolution of a pyramid is that of its levels") {
  Random random(6);
  const std::vector<PyramidShape> shapes = {
      {{{13, 6}}},
      {{{1, 1}, {5, 2}}},
      {{{37, 9}, {16, 16}, {8, 8}, {4, 4}, {2, 3}}},
      {{{2, 2}, {3, 3}, {4, 4}, {5, 5}, {6, 6}, {7, 7}, {8, 8}, {9, 1}}}};
  for (int kernel : {3, 5})
    for (const PyramidShape& shape : shapes)
      for (int64_t channels : {3, 8, 40}) {
        if (channels == 3 && shape.levels.size() > 2) continue;
        const Tensor x = randn({2, shape.pixels(), channels}, random, DType::float64);
        const Tensor w = randn({kernel, kernel, channels}, random, DType::float64);
        CAPTURE(kernel, shape.levels.size(), channels);
        const Tensor dy = randn(x.shape(), random, DType::float64);
        std::vector<std::vector<double>> results[2];
        for (const bool whole : {false, true}) {
          const Tensor in = x.clone().set_requires_grad(), filter = w.clone().set_requires_grad();
          const Tensor y = whole ? depthwise_conv2d(in, filter, shape) : level_by_level(in, filter, shape);
          y.backward(dy);
          results[whole] = {y.values(), in.grad().values(), filter.grad().values()};
        }
        for (size_t i = 0; i < 3; ++i)
          for (size_t k = 0; k < results[0][i].size(); ++k)
            REQUIRE(results[1][i][k] == Approx(results[0][i][k]).margin(1e-12));
        CHECK_NOTHROW(check_op([=](const Tensors& in) { return depthwise_conv2d(in[0], in[1], shape); },
                               {x, w}, {.max_probes = 6, .parameters = {1}}));
      }
}

TEST_CASE("depthwise convolution of no images has no output and a weight gradient of zeros") {
  for (Device device : {Device::cpu, Device::cuda})
    for (int64_t channels : {3, 8}) {
      const Tensor w = ones({3, 3, channels}, DType::float32, device).set_requires_grad();
      const Tensor y =
          depthwise_conv2d(zeros({0, 5, 5, channels}, DType::float32, device), w, {3, 2, Padding::same});
      CHECK(y.shape() == Shape{0, 3, 3, channels});
      y.backward(zeros(y.shape(), DType::float32, device));
      CHECK(w.grad().values() == std::vector<double>(size_t(9 * channels)));
    }
}

TEST_CASE("depthwise convolution gathers its output's statistics") {
  Random random(4);
  const Tensor x = randn({3, 19, 23, 10}, random), w = randn({3, 3, 10}, random);
  ChannelStatistics fused, separate;
  const Tensor y = depthwise_conv2d(x, w, {3, 2, Padding::same}, &fused);
  gather(separate, y.data<float>(), y.numel() / 10, 10);
  for (size_t c = 0; c < 10; ++c) {
    CHECK(fused.mean()[c] == Approx(separate.mean()[c]).margin(1e-6));
    CHECK(fused.variance()[c] == Approx(separate.variance()[c]).epsilon(1e-5));
  }
}

TEST_CASE("on CUDA the statistics of a depthwise convolution are those that batch norm takes itself") {
  Random random(4);
  for (const DType dtype : {DType::float32, DType::bfloat16})
    for (const Window window : {Window{3, 1}, Window{3, 2}, Window{5, 1}, Window{5, 2}})
      // Several tiles per block and a last slab of 8 channels; fewer rows per thread, and tiles that the map
      // cuts.
      for (const Shape& shape : {Shape{9, 96, 97, 40}, Shape{5, 131, 53, 8}}) {
        CAPTURE(name(dtype), window.kernel, window.stride, shape[0]);
        const int64_t channels = shape[3];
        const Tensor w = rand({window.kernel, window.kernel, channels}, random).to(Device::cuda);
        const Tensor x = cast(rand(shape, random, 20, 21), dtype).to(Device::cuda);
        ChannelStatistics statistics;
        const Tensor y = depthwise_conv2d(x, w, window, &statistics);
        CHECK(y.values() == depthwise_conv2d(x, w, window).values());
        CHECK(!statistics.ready());
        CHECK(statistics.chunk_rows().defined());
        const auto rows = statistics.chunk_rows().values();
        CHECK(std::accumulate(rows.begin(), rows.end(), 0.0) == double(y.numel() / channels));
        const Tensor weight = rand({channels}, random).to(Device::cuda), bias = weight.clone();
        const BatchNormOptions options{.momentum = 1, .activation = Activation::swish};
        const auto normalized = [&](const ChannelStatistics* given) {
          const Tensor mean = zeros({channels}, DType::float32, Device::cuda), variance = mean.clone();
          const Tensor z = batch_norm(y, weight, bias, mean, variance, options, given);
          return Tensors{mean, variance, z};
        };
        const Tensors given = normalized(&statistics), own = normalized(nullptr);
        CHECK(relative_difference(given[0], own[0]) < 1e-6);
        // On tensor cores the squares of a tile have no pivot (ProductSums). Here, where the mean is 10 to 15
        // standard deviations, that changes the variance by 1e-5; rounding y to bfloat16 has changed it by
        // 15^2 2^-19 = 4e-4.
        CHECK(relative_difference(given[1], own[1]) < (dtype == DType::float32 ? 1e-5 : 5e-5));
        CHECK(relative_difference(given[2], own[2]) < (dtype == DType::float32 ? 1e-5 : 1e-2));
      }
}

TEST_CASE("on CUDA the statistics of a depthwise convolution are left to batch norm if that is no slower") {
  const auto gathers = [](const Shape& shape, DType dtype) {
    ChannelStatistics statistics;
    const Tensor x = zeros(shape, dtype, Device::cuda),
                 w = zeros({3, 3, shape[3]}, accumulator_dtype(dtype), Device::cuda);
    depthwise_conv2d(x, w, {3, 1}, &statistics);
    return statistics.chunk_rows().defined();
  };
  CHECK(gathers({2, 80, 80, 8}, DType::bfloat16));
  CHECK(!gathers({2, 8, 8, 8}, DType::bfloat16));   // the whole norm is one launch
  CHECK(!gathers({2, 80, 80, 7}, DType::float32));  // no tiles
  CHECK(!gathers({2, 80, 80, 8}, DType::float64));
  CHECK(!gathers({0, 80, 80, 8}, DType::bfloat16));
}

TEST_CASE("depthwise convolution refuses what it cannot do") {
  CHECK_THROWS_WITH(depthwise_conv2d(zeros({1, 4, 4, 3}), zeros({3, 3, 4}), {3, 1}),
                    Catch::Contains("x 1x4x4x3 has 3 channels, w 3x3x4 takes 4"));
  CHECK_THROWS_WITH(depthwise_conv2d(zeros({1, 3, 8, 8}), zeros({3, 3, 3}), {3, 1}),
                    Catch::Contains("w 3x3x3 takes 3: images are (N, H, W, C)"));
  CHECK_THROWS_WITH(depthwise_conv2d(zeros({4, 4, 3}), zeros({3, 3, 3}), {3, 1}),
                    Catch::Contains("(N, H, W, C)"));
  CHECK_THROWS_WITH(depthwise_conv2d(zeros({1, 4, 4, 3}), zeros({7, 7, 3}), {7, 1}),
                    Catch::Contains("kernel 7"));
  CHECK_THROWS_WITH(depthwise_conv2d(zeros({1, 2, 4, 3}), zeros({3, 3, 3}), {3, 2, Padding::valid}),
                    Catch::Contains("x 1x2x4x3 is smaller than the 3x3 window"));
  CHECK_THROWS_WITH(depthwise_conv2d(zeros({1, 4, 4, 3}), zeros({3, 3, 3}), {3, 1, Padding::pixels(4)}),
                    Catch::Contains("a padding of 4 pixels"));
  CHECK_THROWS_WITH(
      depthwise_conv2d(zeros({1, 4, 4, 3}), zeros({3, 3, 3}, DType::float32, Device::cuda), {3, 1}),
      Catch::Contains("is on cpu") && Catch::Contains("on cuda"));
  const Tensor w = zeros({3, 3, 3});
  CHECK_THROWS_WITH(depthwise_conv2d(zeros({1, 7, 3}), w, PyramidShape{{{2, 2}, {1, 2}}}),
                    Catch::Contains("x is 1x7x3") && Catch::Contains("(N, 6, C) for the levels 2x2 1x2"));
  CHECK_THROWS_WITH(depthwise_conv2d(zeros({1, 9, 3}), w, PyramidShape{std::vector<ImageSize>(9, {1, 1})}),
                    Catch::Contains("1 to 8 levels") && Catch::Contains("got 9 levels"));
  CHECK_THROWS_WITH(depthwise_conv2d(zeros({1, 4, 3}), w, PyramidShape{{{2, 2}, {0, 4}}}),
                    Catch::Contains("at least one pixel"));
  CHECK_THROWS_WITH(depthwise_conv2d(zeros({1, 4, 3}), zeros({7, 7, 3}), PyramidShape{{{2, 2}}}),
                    Catch::Contains("kernel 7"));
}
