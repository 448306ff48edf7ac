#include "ops/batch_norm.h"

#include <catch2/catch.hpp>
#include <cmath>

#include "ops/check_op.h"
#include "ops/matmul.h"

using namespace fovea;

namespace {
OpFunction norm(BatchNormOptions options) {
  return [options](const Tensors& in) {
    const Tensor mean = full(in[1].shape(), 0.3, in[1].dtype()),
                 variance = full(in[1].shape(), 1.7, in[1].dtype());
    return batch_norm(in[0], in[1], in[2], mean, variance, options);
  };
}
}  // namespace

TEST_CASE("batch norm by hand") {
  const Tensor x = from_values({2, 1}, {1, 3}), one = ones({1}), zero = zeros({1});
  const Tensor mean = zeros({1}), variance = ones({1});
  const Tensor y = batch_norm(x, one, zero, mean, variance, {.epsilon = 0});
  CHECK(y.values() == std::vector<double>{-1, 1});
  CHECK(mean.item() == Approx(0.01 * 2));
  CHECK(variance.item() == Approx(0.99 + 0.01 * 2));  // the unbiased variance of {1, 3} is 2
  const Tensor evaluated = batch_norm(x, full({1}, 2), full({1}, 5), full({1}, 1), full({1}, 4),
                                      {.training = false, .epsilon = 0, .activation = Activation::relu});
  CHECK(evaluated.values() == std::vector<double>{5, 7});
}

TEST_CASE("gradients of batch norm with each activation") {
  Random random(3);
  for (bool training : {true, false})
    for (Activation activation :
         {Activation::identity, Activation::relu, Activation::sigmoid, Activation::swish})
      for (const Shape& shape : {Shape{5, 1}, Shape{3, 5, 7, 3}, Shape{2, 3, 1, 17}, Shape{37, 131}}) {
        const Tensor x = randn(shape, random, DType::float64);
        const Tensor weight = rand({shape[-1]}, random, 0.5, 2, DType::float64);
        const Tensor bias = randn({shape[-1]}, random, DType::float64);
        CHECK_NOTHROW(check_op(
            norm({.training = training, .activation = activation}), {x, weight, bias},
            {.step = 1e-6, .gradient_tolerance = 1e-5, .float32_tolerance = 1e-4, .most_probes = 25}));
      }
}

TEST_CASE("statistics survive a mean far from zero") {
  Random random(7);
  const Tensor x = rand({5000, 3}, random, 999.5, 1000.5);
  ChannelStatistics statistics;
  gather(statistics, x.data<float>(), 5000, 3);
  for (size_t c = 0; c < 3; ++c) {
    CHECK(statistics.mean()[c] == Approx(1000).epsilon(1e-4));
    CHECK(statistics.variance()[c] == Approx(1.0 / 12).epsilon(0.03));
  }
}

TEST_CASE("statistics given by the producer change nothing but the time") {
  Random random(8);
  const Tensor x = randn({2, 9, 9, 5}, random), w = randn({5, 4}, random), weight = ones({4}),
               bias = zeros({4});
  ChannelStatistics statistics;
  const Tensor y = conv1x1(x, w, {}, &statistics);
  const Tensor a = batch_norm(y, weight, bias, zeros({4}), ones({4}), {}, &statistics);
  const Tensor b = batch_norm(y, weight, bias, zeros({4}), ones({4}), {});
  CHECK(relative_difference(a, b) < 1e-6);
  CHECK_THROWS_WITH(batch_norm(zeros({3, 4}), weight, bias, zeros({4}), ones({4}), {}, &statistics),
                    Catch::Contains("statistics given are of 162x4"));
}

TEST_CASE("batch norm of the wrong sizes or of nothing is refused") {
  CHECK_THROWS_WITH(batch_norm(zeros({3, 4}), ones({3}), zeros({4}), zeros({4}), ones({4}), {}),
                    Catch::Contains("[batch_norm] weight") && Catch::Contains("3x4"));
  CHECK_THROWS_WITH(batch_norm(zeros({0, 4}), ones({4}), zeros({4}), zeros({4}), ones({4}), {}),
                    Catch::Contains("nothing to take statistics of"));
}
