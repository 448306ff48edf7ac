#include "ops/bifpn_node.h"

#include <catch2/catch.hpp>
#include <cmath>

#include "cuda/runtime/counters.h"
#include "ops/arithmetic.h"
#include "ops/support/check_op.h"

using namespace fovea;

// For rows whose weights' gradients are differences of sums that nearly cancel: rounding the cotangent to
// bfloat16 changes them by over 1e-2. With equal cotangents the test below requires 2e-5.
constexpr double cancelling = 4e-2;

TEST_CASE("a node resamples, weighs and sums, by hand") {
  const Tensor same = from_values({1, 2, 2, 1}, {1, 2, 3, 4}), coarse = from_values({1, 1, 1, 1}, {10});
  const Tensor fine = from_values({1, 4, 4, 1}, {0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 7, 0, 0, 0, 0, 8});
  // SAME pooling of 4 by stride 2 pads after only: windows start at 0 and 2.
  const Tensor sum = bifpn_node({same, coarse, fine}, {}, Fusion::sum, 2, 2, Activation::identity);
  CHECK(sum.values() == std::vector<double>{1 + 10 + 7, 2 + 10 + 7, 3 + 10 + 7, 4 + 10 + 8});
  const auto w = fusion_weights(from_values({3}, {1, -5, 3}), Fusion::fast_normalized);
  CHECK(w[0] == Approx(1 / 4.0001));
  CHECK(w[1] == 0);
  const auto s = fusion_weights(from_values({2}, {0, std::log(3.0)}), Fusion::softmax);
  CHECK(s[1] == Approx(0.75));
}

TEST_CASE("gradients of a BiFPN node, every fusion, odd sizes") {
  Random random(3);
  for (Fusion fusion : {Fusion::fast_normalized, Fusion::softmax, Fusion::sum})
    for (int64_t channels : {1, 7, 67})
      for (auto [h, w] : {std::pair<int64_t, int64_t>{1, 1}, {3, 5}, {4, 2}}) {
        Tensors inputs = {randn({2, h, w, channels}, random, DType::float64),
                          randn({2, (h + 1) / 2, (w + 1) / 2, channels}, random, DType::float64),
                          randn({2, 2 * h - 1, 2 * w, channels}, random, DType::float64)};
        if (fusion != Fusion::sum) inputs.push_back(from_values({3}, {0.7, 1.2, -0.3}, DType::float64));
        const int64_t height = h, width = w;
        for (const Padding padding : {Padding::same, Padding::symmetric}) {
          const OpFunction node = [=](const Tensors& in) {
            return bifpn_node({in[0], in[1], in[2]}, in.size() > 3 ? in[3] : Tensor(), fusion, height, width,
                              Activation::swish, padding);
          };
          CHECK_NOTHROW(check_op(node, inputs,
                                 {.step = 1e-6,
                                  .gradient_tolerance = 1e-5,
                                  .max_probes = 30,
                                  .bfloat16_tolerance = cancelling,
                                  .parameters = {3}}));
        }
      }
}

TEST_CASE("gradients of a BiFPN node in packs of channels, over several blocks") {
  Random random(5);
  for (Fusion fusion : {Fusion::fast_normalized, Fusion::softmax, Fusion::sum}) {
    Tensors inputs = {randn({2, 9, 10, 24}, random, DType::float64),
                      randn({2, 5, 4, 24}, random, DType::float64),
                      randn({2, 17, 20, 24}, random, DType::float64)};
    if (fusion != Fusion::sum) inputs.push_back(from_values({3}, {0.7, 1.2, 0.4}, DType::float64));
    const OpFunction node = [=](const Tensors& in) {
      return bifpn_node({in[0], in[1], in[2]}, in.size() > 3 ? in[3] : Tensor(), fusion, 9, 10);
    };
    CHECK_NOTHROW(check_op(node, inputs,
                           {.step = 1e-6, .gradient_tolerance = 1e-5, .max_probes = 20, .parameters = {3}}));
  }
}

TEST_CASE("gradients of a BiFPN node with every activation, where only some are needed") {
  Random random(6);
  for (Activation activation : all_activations)
    for (size_t wanted : {0, 1, 2, 3}) {
      Tensors inputs = {
          randn({1, 4, 3, 8}, random, DType::float64), randn({1, 2, 2, 8}, random, DType::float64),
          randn({1, 8, 6, 8}, random, DType::float64), from_values({3}, {0.7, 1.2, 0.4}, DType::float64)};
      inputs[wanted].set_requires_grad();
      const OpFunction node = [=](const Tensors& in) {
        return bifpn_node({in[0], in[1], in[2]}, in[3], Fusion::fast_normalized, 4, 3, activation);
      };
      CHECK_NOTHROW(check_op(
          node, inputs, {.step = 1e-6, .gradient_tolerance = 1e-5, .max_probes = 20, .parameters = {3}}));
    }
}

TEST_CASE("levels two apart are pooled by stride four, kernel five") {
  Random random(9);
  const Tensors inputs = {randn({1, 3, 2, 4}, random, DType::float64),
                          randn({1, 12, 7, 4}, random, DType::float64)};
  for (const Padding padding : {Padding::same, Padding::symmetric}) {
    const OpFunction node = [=](const Tensors& in) {
      return bifpn_node(in, {}, Fusion::sum, 3, 2, Activation::swish, padding);
    };
    CHECK_NOTHROW(check_op(node, inputs, {.step = 1e-6, .gradient_tolerance = 1e-5}));
  }
}

TEST_CASE("any level of a pyramid is pooled to any coarser one, whatever the sizes and the padding") {
  for (int64_t finest = 1; finest <= 300; ++finest)
    for (int64_t from = finest; from > 1; from = (from + 1) / 2)
      for (int64_t to = (from + 1) / 2;; to = (to + 1) / 2) {
        for (const Padding padding : {Padding::same, Padding::symmetric}) {
          const ResampleDims d{Resample::pool, from, from, to, to, 1, padding};
          if (d.vertical().output_size(from) != to) FAIL(from << " to " << to);
        }
        if (to == 1) break;
      }
  const auto stride = [](int64_t in, int64_t out) {
    return ResampleDims{Resample::pool, in, in, out, out, 1}.vertical().stride;
  };
  CHECK(stride(2, 1) == 2);
  CHECK(stride(5, 3) == 2);
  CHECK(stride(9, 3) == 4);
  CHECK(stride(5, 1) == 8);
}

TEST_CASE("levels four apart are pooled by stride sixteen: more pixels in a window than a byte counts") {
  Random random(10);
  const Tensors inputs = {randn({1, 2, 1, 8}, random, DType::float64),
                          randn({1, 32, 16, 8}, random, DType::float64)};
  const OpFunction node = [](const Tensors& in) { return bifpn_node(in, {}, Fusion::sum, 2, 1); };
  CHECK_NOTHROW(check_op(node, inputs, {.step = 1e-6, .gradient_tolerance = 1e-5}));
}

TEST_CASE("one input, and as many as a node may have on CUDA") {
  Random random(12);
  const Tensor x = randn({2, 3, 3, 8}, random, DType::float64);
  const OpFunction one = [](const Tensors& in) {
    return bifpn_node({in[0]}, in[1], Fusion::fast_normalized, 2, 2);
  };
  CHECK_NOTHROW(check_op(one, {x, from_values({1}, {0.5}, DType::float64)},
                         {.step = 1e-6, .gradient_tolerance = 1e-5, .parameters = {1}}));
  const OpFunction four = [](const Tensors& in) {
    return bifpn_node({in[0], in[1], in[0], in[2]}, in[3], Fusion::softmax, 3, 3);
  };
  CHECK_NOTHROW(check_op(
      four,
      {x, randn({2, 5, 6, 8}, random, DType::float64), randn({2, 2, 1, 8}, random, DType::float64),
       from_values({4}, {0.1, -1, 2, 0.3}, DType::float64)},
      {.step = 1e-6, .gradient_tolerance = 1e-5, .bfloat16_tolerance = cancelling, .parameters = {3}}));
  // Every level of six, as in a fully connected cell: from two finer to three coarser than the node.
  for (const Fusion fusion : {Fusion::fast_normalized, Fusion::softmax, Fusion::sum})
    for (const int64_t channels : {3, 8}) {
      Tensors levels;
      for (auto [h, w] : {std::pair<int64_t, int64_t>{15, 20}, {8, 10}, {4, 5}, {2, 3}, {1, 2}, {1, 1}})
        levels.push_back(randn({2, h, w, channels}, random, DType::float64));
      if (fusion != Fusion::sum)
        levels.push_back(from_values({6}, {0.9, 0.4, 1.3, 0.7, 1.1, 0.6}, DType::float64));
      const OpFunction six = [=](const Tensors& in) {
        return bifpn_node({in.begin(), in.begin() + 6}, in.size() > 6 ? in[6] : Tensor(), fusion, 4, 5,
                          Activation::swish, Padding::symmetric);
      };
      CHECK_NOTHROW(check_op(six, levels,
                             {.step = 1e-6,
                              .gradient_tolerance = 1e-5,
                              .max_probes = 20,
                              .bfloat16_tolerance = cancelling,
                              .parameters = {6}}));
    }
}

TEST_CASE("in bfloat16 the gradients of the weights are sums in float32 of what is stored in bfloat16") {
  Random random(14);
  for (int64_t channels : {7, 24}) {
    const Shape shapes[] = {
        {2, 3, 5, channels}, {2, 2, 3, channels}, {2, 5, 9, channels}, {2, 3, 5, channels}};
    Tensors numbers, dv;
    for (const Shape& shape : shapes)
      numbers.push_back(from_values(shape, randn(shape, random).values(), DType::bfloat16));
    for (Device device : {Device::cpu, Device::cuda}) {
      Tensors x;
      for (const Tensor& in : numbers)
        x.push_back(device == Device::cuda ? in.to(device) : from_values(in.shape(), in.values()));
      const Tensor v = from_values({3}, {0.7, 1.2, 0.4}).to(device).clone().set_requires_grad();
      bifpn_node({x[0], x[1], x[2]}, v, Fusion::fast_normalized, 3, 5).backward(x[3]);
      dv.push_back(v.grad());
    }
    CHECK(relative_difference(dv[1], dv[0]) < 2e-5);
  }
}

TEST_CASE("equal maxima and NaN: on CUDA gradients go to the pixels that they go to on the CPU") {
  Random random(4);
  for (int64_t channels : {1, 8})
    for (auto [h, w] : {std::pair<int64_t, int64_t>{8, 9}, {12, 12}}) {
      Tensor numbers = randn({2, h, w, channels}, random);
      for (float& x : numbers.span<float>()) x = x < -1.5f ? -INFINITY : (x > 2.2f ? NAN : std::round(x));
      std::fill_n(numbers.data<float>(), 5 * w * channels, -INFINITY);  // of equal pixels also the first
      const int64_t height = (h + 3) / 4, width = (w + 3) / 4;
      Tensors gradients;
      for (Device device : {Device::cpu, Device::cuda}) {
        const Tensor x = numbers.clone().to(device).set_requires_grad();
        const Tensor y = bifpn_node({x}, {}, Fusion::sum, height, width, Activation::identity);
        Random same(1);
        y.backward(rand(y.shape(), same, 1, 2).to(device));
        gradients.push_back(x.grad());
      }
      CHECK(gradients[0].values() == gradients[1].values());
    }
}

TEST_CASE("a node adds to the gradient that an input has from another, without another launch") {
  Random random(11);
  for (const Device device : {Device::cpu, Device::cuda})
    for (const DType dtype : {DType::float32, DType::bfloat16})
      for (const int64_t channels : {3, 8}) {
        if (device == Device::cpu && dtype == DType::bfloat16) continue;
        CAPTURE(device == Device::cpu, dtype, channels);
        Tensors levels;  // of the node's own size, finer and coarser
        for (const int64_t size : {6, 12, 3}) levels.push_back(randn({2, size, size, channels}, random));
        const Tensor dy1 = randn({2, 6, 6, channels}, random), dy2 = randn({2, 6, 6, channels}, random);
        const auto on_device = [&](const Tensor& t) {
          return from_values(t.shape(), t.values(), dtype).to(device);
        };
        const auto leaves = [&] {
          Tensors result;
          for (const Tensor& t : levels) result.push_back(on_device(t).clone().set_requires_grad());
          return result;
        };
        const auto node = [](const Tensors& in) { return bifpn_node(in, {}, Fusion::sum, 6, 6); };
        const Tensors one = leaves(), other = leaves(), both = leaves();
        const auto launches = [](auto&& work) {
          const int64_t before = cuda::counters().launches;
          work();
          return cuda::counters().launches - before;
        };
        const Tensor y1 = node(one), y2 = node(other), both1 = node(both), both2 = node(both);
        const int64_t apart = launches([&] { y1.backward(on_device(dy1)), y2.backward(on_device(dy2)); });
        CHECK(launches([&] { both1.backward(on_device(dy1)), both2.backward(on_device(dy2)); }) == apart);
        for (size_t i = 0; i < levels.size(); ++i) {
          const Tensor sum = from_values(levels[i].shape(), one[i].grad().values(), DType::float64) +
                             from_values(levels[i].shape(), other[i].grad().values(), DType::float64);
          CHECK(relative_difference(both[i].grad(), sum) < (dtype == DType::bfloat16 ? 4e-3 : 1e-6));
        }
      }
}

TEST_CASE("an empty batch") {
  for (Device device : {Device::cpu, Device::cuda}) {
    const Tensor v = ones({2}).to(device).clone().set_requires_grad();
    const Tensor x = zeros({0, 2, 2, 8}, DType::float32, device),
                 fine = zeros({0, 4, 4, 8}, DType::float32, device);
    const Tensor y = bifpn_node({x, fine}, v, Fusion::softmax, 2, 2);
    y.backward(zeros({0, 2, 2, 8}, DType::float32, device));
    CHECK(v.grad().values() == std::vector<double>{0, 0});
  }
}

TEST_CASE("more pixels than a launch of the backward pass has threads") {
  Random random(8);
  const Tensor same = randn({1, 513, 520, 1}, random), coarse = randn({1, 9, 10, 1}, random);
  const Tensor dy = randn({1, 513, 520, 1}, random);
  Tensors results[2];
  for (Device device : {Device::cpu, Device::cuda}) {
    Tensors in;
    for (const Tensor& x : {same, coarse, from_values({2}, {0.4, 0.9})}) {
      in.push_back(x.clone().to(device));
      in.back().set_requires_grad();
    }
    const Tensor y = bifpn_node({in[0], in[1]}, in[2], Fusion::fast_normalized, 513, 520);
    y.backward(dy.to(device));
    results[int(device)] = {y, in[0].grad(), in[1].grad(), in[2].grad()};
  }
  for (size_t i = 0; i < 4; ++i) CHECK(relative_difference(results[1][i], results[0][i]) < 2e-5);
}

TEST_CASE("a node refuses inputs that do not fit together") {
  CHECK_THROWS_WITH(bifpn_node({}, {}, Fusion::sum, 1, 1), Catch::Contains("no inputs"));
  CHECK_THROWS_WITH(bifpn_node({zeros({1, 2, 2, 3}), zeros({1, 2, 2, 4})}, {}, Fusion::sum, 2, 2),
                    Catch::Contains("1x2x2x3") && Catch::Contains("1x2x2x4"));
  CHECK_THROWS_WITH(bifpn_node({zeros({1, 2, 2, 3})}, zeros({2}), Fusion::softmax, 2, 2),
                    Catch::Contains("1 inputs need weights"));
  CHECK_THROWS_WITH(bifpn_node({zeros({1, 8, 1, 3})}, {}, Fusion::sum, 2, 2),
                    Catch::Contains("coarser along the other"));
  CHECK_THROWS_WITH(bifpn_node({zeros({1, 2, 2, 3})}, zeros({1}, DType::float64), Fusion::softmax, 2, 2),
                    Catch::Contains("in float32"));
  CHECK_THROWS_WITH(bifpn_node({zeros({1, 12, 12, 3})}, {}, Fusion::sum, 5, 5),
                    Catch::Contains("1x12x12x3 cannot be pooled to 5x5"));
  const Tensor x = zeros({1, 2, 2, 3}, DType::float32, Device::cuda);
  CHECK_THROWS_WITH(bifpn_node(Tensors(7, x), {}, Fusion::sum, 2, 2), Catch::Contains("at most 6 inputs"));
  CHECK_THROWS_WITH(bifpn_node({x}, zeros({1}), Fusion::softmax, 2, 2), Catch::Contains("one device"));
}
