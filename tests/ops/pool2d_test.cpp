#include "ops/pool2d.h"

#include <catch2/catch.hpp>
#include <cmath>

#include "core/tape_observer.h"
#include "ops/support/check_op.h"

using namespace fovea;

namespace {

// Windows of all kinds: overlapping, side by side, with gaps, padded by numbers and by rules, odd and even.
const std::vector<Window> windows = {{2, 2, Padding::valid},
                                     {3, 2, Padding::pixels(1)},
                                     {1, 1},
                                     {1, 3},
                                     {3, 1, Padding::pixels(1)},
                                     {2, 1, Padding::pixels(1)},
                                     {5, 3, Padding::pixels(2)},
                                     {4, 2, Padding::same},
                                     {3, 2, Padding::symmetric}};

// The numbers (i * 37) mod 101 of a shape: no two within 101 are equal.
Tensor scattered(Shape shape) {
  Tensor x(shape);
  for (int64_t i = 0; i < x.numel(); ++i) x.data<float>()[i] = float(i * 37 % 101);
  return x;
}

}  // namespace

TEST_CASE("max pooling by hand, with borders, ties and NaN") {
  for (Device device : {Device::cpu, Device::cuda}) {
    const Tensor x =
        from_values({1, 3, 3, 1}, {1, 2, 3, 4, 9, 6, 7, 8, 9}).to(device).clone().set_requires_grad();
    const Tensor y = max_pool2d(x);  // odd size 3: one row of padding on each side, windows start at -1 and 1
    CHECK(y.values() == std::vector<double>{9, 9, 9, 9});
    y.backward(from_values({1, 2, 2, 1}, {1, 2, 4, 8}).to(device));
    // the first 9 in reading order, also in the last window
    CHECK(x.grad().values() == std::vector<double>{0, 0, 0, 0, 15, 0, 0, 0, 0});
    CHECK(std::isnan(max_pool2d(from_values({1, 1, 2, 1}, {NAN, 5}).to(device)).item()));
  }
}

TEST_CASE("max pooling pads on every side as in PyTorch, or as in TensorFlow") {
  for (Device device : {Device::cpu, Device::cuda}) {
    const Tensor x = from_values({1, 4, 4, 1}, {9, 1, 2, 3, 1, 1, 1, 8, 2, 1, 1, 1, 7, 1, 1, 4}).to(device);
    // torch.nn.functional.max_pool2d(x, 3, 2, 1): windows start at -1 and 1; SAME's at 0 and 2
    CHECK(max_pool2d(x, Padding::symmetric).values() == std::vector<double>{9, 8, 7, 8});
    CHECK(max_pool2d(x, Padding::same).values() == std::vector<double>{9, 8, 7, 4});
    CHECK(max_pool2d(from_values({1, 1, 3, 1}, {1, 2, 3}).to(device), Padding::symmetric).values() ==
          std::vector<double>{2, 3});
    // 5 x 7 numbers i * 37 mod 101, y and, for dy = 1, 2, ..., dx of torch.nn.functional.max_pool2d(x, 3, 2,
    // 1)
    Tensor odd({1, 5, 7, 1});
    for (int i = 0; i < 35; ++i) odd.data<float>()[i] = float(i * 37 % 101);
    odd = odd.to(device).clone().set_requires_grad();
    const Tensor y = max_pool2d(odd, Padding::symmetric);
    CHECK(y.values() == std::vector<double>{94, 94, 84, 84, 94, 94, 97, 97, 70, 100, 80, 90});
    y.backward(from_values({1, 3, 4, 1}, {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}).to(device));
    std::vector<double> dx(35);
    for (const auto& [i, gradient] : std::vector<std::pair<size_t, double>>{
             {5, 7}, {8, 14}, {19, 15}, {21, 9}, {24, 11}, {27, 12}, {30, 10}})
      dx[i] = gradient;
    CHECK(odd.grad().values() == dx);
  }
}

TEST_CASE("pooling by windows of other sizes, by hand") {
  for (const Device device : {Device::cpu, Device::cuda}) {
    // torch.nn.functional.max_pool2d and avg_pool2d(..., count_include_pad=False)
    const Tensor x = from_values({1, 3, 4, 1}, {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}).to(device);
    CHECK(max_pool2d(x, {2, 2, Padding::valid}).values() ==
          std::vector<double>{6, 8});  // the last row has no window
    CHECK(max_pool2d(x, {2, 2, Padding::pixels(1)}).shape() == Shape{1, 2, 3, 1});
    CHECK(max_pool2d(x, {2, 2, Padding::pixels(1)}).values() == std::vector<double>{1, 3, 4, 9, 11, 12});
    CHECK(max_pool2d(x, {2, 2, Padding::same}).values() == std::vector<double>{6, 8, 10, 12});
    CHECK(max_pool2d(x, {1, 3}).values() == std::vector<double>{1, 4});
    CHECK(average_pool2d(x, {2, 2, Padding::valid}).values() == std::vector<double>{3.5, 5.5});
    CHECK(average_pool2d(x, {2, 2, Padding::pixels(1)}).values() ==
          std::vector<double>{1, 2.5, 4, 7, 8.5, 10});
    CHECK(average_pool2d(x, {2, 2, Padding::same}).values() == std::vector<double>{3.5, 5.5, 9.5, 11.5});
    CHECK(average_pool2d(x, {3, 1, Padding::valid}).values() == std::vector<double>{6, 7});

    const Tensor leaf = x.clone().set_requires_grad();
    average_pool2d(leaf, {2, 2, Padding::pixels(1)})
        .backward(from_values({1, 2, 3, 1}, {1, 2, 3, 4, 8, 6}).to(device));
    CHECK(leaf.grad().values() == std::vector<double>{1, 1, 1, 3, 2, 2, 2, 3, 2, 2, 2, 3});
    leaf.clear_grad();
    max_pool2d(leaf, {2, 1, Padding::valid}).backward(ones({1, 2, 3, 1}, DType::float32, device));
    CHECK(leaf.grad().values() == std::vector<double>{0, 0, 0, 0, 0, 1, 1, 1, 0, 1, 1, 1});
    CHECK(std::isnan(average_pool2d(from_values({1, 1, 2, 1}, {NAN, 5}).to(device), {1, 1}).values()[0]));
    CHECK(max_pool2d(zeros({0, 4, 4, 3}).to(device), {2, 2}).shape() == Shape{0, 2, 2, 3});
  }
}

TEST_CASE("the pool of a BiFPN has a window of 3 by 3 and stride 2") {
  for (const Device device : {Device::cpu, Device::cuda})
    for (const Shape& shape :
         {Shape{1, 1, 1, 3}, Shape{2, 1, 6, 8}, Shape{2, 5, 7, 70}, Shape{1, 8, 8, 16}}) {
      const Tensor x = scattered(shape).to(device);
      CHECK(max_pool2d(x).values() == max_pool2d(x, {3, 2, Padding::same}).values());
      CHECK(max_pool2d(x, Padding::symmetric).values() == max_pool2d(x, {3, 2, Padding::pixels(1)}).values());
    }
}

TEST_CASE("a large window finds its first maximum, and a NaN takes its gradient") {
  for (const Device device : {Device::cpu, Device::cuda}) {
    Tensor x = zeros({1, 20, 20, 4});
    x.data<float>()[(17 * 20 + 18) * 4] = 2;  // pixel 358 of the window: its number does not fit into a byte
    x.data<float>()[(19 * 20 + 0) * 4] = 2;
    x.data<float>()[(12 * 20 + 15) * 4 + 1] = NAN;
    x = x.to(device).clone().set_requires_grad();
    max_pool2d(x, {20, 1, Padding::valid}).backward(ones({1, 1, 1, 4}, DType::float32, device));
    std::vector<double> expected(1600);
    expected[(17 * 20 + 18) * 4] = 1;
    expected[2] = expected[3] = 1;  // of equals the first
    CHECK(x.grad().values() == expected);
  }
}

TEST_CASE("pools are recorded under their own names, with their arguments") {
  struct Seen : TapeObserver {
    void on_op(const Op& op, const Tensors& inputs, const Tensor&) override {
      names.emplace_back(op.name);
      attributes = op.attributes ? op.attributes() : Attributes();
      count = inputs.size();
    }
    std::vector<std::string> names;
    Attributes attributes;
    size_t count = 0;
  };
  const Tensor x = zeros({1, 4, 4, 1}).set_requires_grad();
  Seen seen;
  CHECK(std::string(max_pool2d(x, Padding::symmetric).node()->op) == "max_pool2d");
  CHECK(seen.attributes ==
        Attributes{{"kernel", int64_t(3)}, {"stride", int64_t(2)}, {"padding", "symmetric"}});
  CHECK(seen.count == 1);
  CHECK(std::string(average_pool2d(x, {2, 1, Padding::pixels(1)}).node()->op) == "average_pool2d");
  CHECK(seen.attributes ==
        Attributes{{"kernel", int64_t(2)}, {"stride", int64_t(1)}, {"padding", std::string("1")}});
  CHECK(seen.names == std::vector<std::string>{"max_pool2d", "average_pool2d"});
  CHECK_THROWS_WITH(max_pool2d(zeros({1, 2, 2, 1}, DType::int32)), Catch::Contains("[max_pool2d]"));
}

TEST_CASE("gradients of pools") {
  Random random(1);
  for (auto [h, w] : {std::pair<int64_t, int64_t>{5, 5}, {6, 7}, {11, 8}})
    for (int64_t channels : {1, 5, 16}) {
      const Tensor x = randn({2, h, w, channels}, random, DType::float64);
      for (const Window& window : windows) {
        CHECK_NOTHROW(check_op([=](const Tensors& in) { return max_pool2d(in[0], window); }, {x},
                               {.step = 1e-6, .max_probes = 30}));
        CHECK_NOTHROW(check_op([=](const Tensors& in) { return average_pool2d(in[0], window); }, {x},
                               {.max_probes = 30}));
      }
    }
  for (auto [h, w] : {std::pair<int64_t, int64_t>{1, 1}, {2, 7}, {8, 5}})
    for (int64_t channels : {5, 16, 67})
      for (const Padding padding : {Padding::same, Padding::symmetric})
        CHECK_NOTHROW(check_op([=](const Tensors& in) { return max_pool2d(in[0], padding); },
                               {randn({2, h, w, channels}, random, DType::float64)}, {.step = 1e-6}));
}

TEST_CASE("pools refuse what does not fit") {
  CHECK_THROWS_WITH(max_pool2d(zeros({4, 4})), "[max_pool2d] x is 4x4: it must be (N, H, W, C) with pixels");
  CHECK_THROWS_WITH(average_pool2d(zeros({1, 0, 4, 1}), {2, 2}),
                    Catch::Contains("[average_pool2d] x is 1x0x4x1"));
  const Tensor x = zeros({1, 4, 4, 1});
  CHECK_THROWS_WITH(max_pool2d(x, {5, 1, Padding::valid}),
                    "[max_pool2d] the kernel of 5 is larger than an axis of 4 pixels and its padding");
  CHECK_THROWS_WITH(max_pool2d(x, {3, 1, Padding::pixels(2)}),
                    "[max_pool2d] padding 2 must be 0 to half the kernel, 3");
  CHECK_THROWS_WITH(max_pool2d(x, {3, 1, Padding::pixels(-1)}), Catch::Contains("padding -1"));
  CHECK_THROWS_WITH(average_pool2d(x, {0, 1}),
                    "[average_pool2d] kernel 0 must be 1 to 255, stride 1 at least 1");
  CHECK_THROWS_WITH(average_pool2d(x, {2, 0}), Catch::Contains("stride 0"));
  CHECK_THROWS_WITH(average_pool2d(x, {256, 1}), Catch::Contains("kernel 256"));
}
