#include "ops/inverted_bottleneck.h"

#include <catch2/catch.hpp>

#include "core/parallel.h"
#include "ops/arithmetic.h"
#include "ops/matmul.h"
#include "ops/shape_ops.h"
#include "ops/squeeze_excite.h"
#include "ops/support/check_op.h"

using namespace fovea;
using Catch::Contains;

namespace {

const BatchNormOptions with_swish{.training = false, .activation = Activation::swish},
    linear_norm{.training = false};

// Norms and other layers whose numbers all differ from their initial values.
struct Layers {
  BatchNormTensors expand, depthwise, project;
  InvertedBottleneck block;

  Layers(int64_t in, int64_t wide, int64_t out, Window window, Random& random, DType dtype = DType::float64)
      : expand(norm(wide, random, dtype)),
        depthwise(norm(wide, random, dtype)),
        project(norm(out, random, dtype)),
        block{.w_depthwise = randn({window.kernel, window.kernel, wide}, random, dtype),
              .window = window,
              .depthwise_norm = EvaluationNorm(depthwise, with_swish),
              .w_reduce = randn({wide, 3}, random, dtype),
              .b_reduce = randn({3}, random, dtype),
              .w_excite = randn({3, wide}, random, dtype),
              .b_excite = randn({wide}, random, dtype),
              .w_project = randn({wide, out}, random, dtype),
              .project_norm = EvaluationNorm(project, linear_norm),
              .shortcut = window.stride == 1 && in == out} {
    if (in == wide) return;
    block.w_expand = randn({in, wide}, random, dtype);
    block.expand_norm = EvaluationNorm(expand, with_swish);
  }
  static BatchNormTensors norm(int64_t channels, Random& random, DType dtype) {
    const auto some = [&] { return cast(rand({channels}, random, 0.5, 2), dtype); };
    return {some(), some(), some(), some()};
  }

  // Op by op.
  Tensor composed(const Tensor& x) const {
    const auto apply = [](const BatchNormTensors& n, const Tensor& y, const BatchNormOptions& options) {
      return batch_norm(y, n.weight, n.bias, n.running_mean, n.running_variance, options);
    };
    const InvertedBottleneck& b = block;
    Tensor y = b.expand_norm ? apply(expand, conv1x1(x, b.w_expand), with_swish) : x;
    y = apply(depthwise, depthwise_conv2d(y, b.w_depthwise, b.window), with_swish);
    y = squeeze_excite(y, b.w_reduce, b.b_reduce, b.w_excite, b.b_excite);
    y = apply(project, conv1x1(y, b.w_project), linear_norm);
    return b.shortcut ? y + x : y;
  }
};

}  // namespace

TEST_CASE("an inverted bottleneck equals its parts, op by op") {
  Random random(3);
  const NoGrad no_grad;
  for (const int kernel : {3, 5})
    for (const int stride : {1, 2})
      for (const Padding padding : {Padding::same, Padding::symmetric, Padding::valid})
        for (const auto& [height, width] : {std::pair<int64_t, int64_t>{5, 6}, {7, 90}, {61, 33}})
          for (const auto& [in, wide] : {std::pair<int64_t, int64_t>{7, 42}, {10, 60}, {16, 96}, {8, 8}}) {
            CAPTURE(kernel, stride, padding.number, height, width, wide);
            const Layers layers(in, wide, in, {kernel, stride, padding}, random);
            const Tensor x = randn({wide == 96 ? 1 : 2, height, width, in}, random, DType::float64);
            if (padding == Padding::valid && layers.block.shortcut) continue;  // a shortcut keeps the size
            CHECK(relative_difference(inverted_bottleneck(x, layers.block), layers.composed(x)) < 1e-13);
          }
}

TEST_CASE("an inverted bottleneck in float32 over many blocks, and its bits on any number of threads") {
  Random random(5);
  const NoGrad no_grad;
  const int before = num_threads();
  for (const int64_t batch : {1, 3}) {
    const Layers layers(24, 144, 24, {5, 1, Padding::symmetric}, random, DType::float32);
    const Tensor x = randn({batch, 64, 70, 24}, random);
    set_num_threads(1);
    const Tensor y = inverted_bottleneck(x, layers.block);
    CHECK(relative_difference(y, layers.composed(x)) < 1e-5);
    for (const int threads : {2, 3}) {
      set_num_threads(threads);
      CHECK(inverted_bottleneck(x, layers.block).values() == y.values());
    }
  }
  set_num_threads(before);
}

TEST_CASE("an inverted bottleneck refuses other channels, images below its window, and gradients") {
  Random random(7);
  const Layers layers(7, 42, 5, {5, 1, Padding::valid}, random, DType::float32);
  const Tensor x = randn({1, 6, 6, 7}, random);
  CHECK_THROWS_WITH(inverted_bottleneck(x, layers.block), Contains("x is 1x6x6x7") && Contains("NoGrad"));
  const NoGrad no_grad;
  CHECK(inverted_bottleneck(x, layers.block).shape() == Shape{1, 2, 2, 5});
  CHECK_THROWS_WITH(inverted_bottleneck(randn({1, 6, 6, 8}, random), layers.block),
                    Contains("has 8 channels, w_expand 7x42 takes 7"));
  CHECK_THROWS_WITH(inverted_bottleneck(randn({1, 4, 6, 7}, random), layers.block),
                    Contains("smaller than the 5x5"));
}
