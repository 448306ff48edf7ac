#include "ops/resample.h"

#include <catch2/catch.hpp>
#include <cmath>

#include "core/tape_observer.h"
#include "ops/support/check_op.h"

using namespace fovea;

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

TEST_CASE("max pooling pads on every side as PyTorch, or as TensorFlow") {
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

TEST_CASE("upsampling repeats pixels and sums their gradients") {
  for (Device device : {Device::cpu, Device::cuda}) {
    const Tensor x = from_values({1, 1, 2, 1}, {3, 4}).to(device).clone().set_requires_grad();
    const Tensor y = upsample_nearest(x, 2, 3);
    CHECK(y.values() == std::vector<double>{3, 3, 4, 3, 3, 4});
    y.backward(ones(y.shape(), DType::float32, device));
    CHECK(x.grad().values() == std::vector<double>{4, 2});
  }
}

TEST_CASE("pooling and upsampling are recorded under their own names, with what they were called with") {
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
  CHECK(std::string(upsample_nearest(x, 8, 8).node()->op) == "upsample_nearest");
  CHECK(seen.attributes.empty());
  CHECK(seen.names == std::vector<std::string>{"max_pool2d", "upsample_nearest"});
  CHECK_THROWS_WITH(max_pool2d(zeros({1, 2, 2, 1}, DType::int32)), Catch::Contains("[max_pool2d]"));
}

TEST_CASE("gradients of resampling") {
  Random random(1);
  for (auto [h, w] : {std::pair<int64_t, int64_t>{1, 1}, {2, 7}, {8, 5}})
    for (int64_t channels : {5, 16}) {
      const Tensor x = randn({2, h, w, channels}, random, DType::float64);
      for (const Padding padding : {Padding::same, Padding::symmetric})
        CHECK_NOTHROW(
            check_op([=](const Tensors& in) { return max_pool2d(in[0], padding); }, {x}, {.step = 1e-6}));
      const int64_t height = 2 * h - 1, width = 3 * w;
      CHECK_NOTHROW(check_op([=](const Tensors& in) { return upsample_nearest(in[0], height, width); }, {x}));
    }
  CHECK_THROWS_WITH(upsample_nearest(zeros({1, 4, 4, 1}), 3, 8), Catch::Contains("only enlarging"));
  CHECK_THROWS_WITH(max_pool2d(zeros({4, 4})), Catch::Contains("(N, H, W, C)"));
}
