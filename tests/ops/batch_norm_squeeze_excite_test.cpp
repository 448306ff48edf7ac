#include "ops/batch_norm_squeeze_excite.h"

#include <catch2/catch.hpp>
#include <cmath>

#include "core/tape_observer.h"
#include "cuda/runtime/counters.h"
#include "cuda/runtime/device.h"
#include "ops/arithmetic.h"
#include "ops/squeeze_excite.h"
#include "ops/support/check_op.h"
#include "tests/support/same_gradients.h"

using namespace fovea;

namespace {

// x, the norm's weight and bias, and the layers, large enough for all of them to matter.
Tensors random_inputs(const Shape& shape, int64_t reduced, Random& random, DType dtype = DType::float64) {
  const int64_t channels = shape[3];
  return {randn(shape, random, dtype) * 2 + 0.5,
          randn({channels}, random, dtype),
          randn({channels}, random, dtype),
          randn({channels, reduced}, random, dtype) * (2 / std::sqrt(double(channels))),
          randn({reduced}, random, dtype),
          randn({reduced, channels}, random, dtype) * (2 / std::sqrt(double(reduced))),
          randn({channels}, random, dtype)};
}

// The norm of these inputs, with running averages of its own.
BatchNormTensors norm_of(const Tensors& in) {
  return {in[1], in[2], full(in[1].shape(), 0.25, in[1].dtype(), in[1].device()),
          full(in[1].shape(), 2, in[1].dtype(), in[1].device())};
}

Tensor one_op(const Tensors& in, const BatchNormOptions& options) {
  return batch_norm_squeeze_excite(in[0], norm_of(in), options, nullptr, in[3], in[4], in[5], in[6]);
}

Tensor two_ops(const Tensors& in, const BatchNormOptions& options) {
  const auto [weight, bias, mean, variance] = norm_of(in);
  return squeeze_excite(batch_norm(in[0], weight, bias, mean, variance, options), in[3], in[4], in[5], in[6]);
}

BatchNormOptions with_swish(bool training) {
  BatchNormOptions options;
  options.training = training;
  options.activation = Activation::swish;
  return options;
}

}  // namespace

TEST_CASE("batch norm with squeeze and excite and its gradients equal the two ops") {
  for (const bool training : {true, false}) {
    Random random(3);
    CAPTURE(training);
    check_same_gradients([&](const Tensors& in) { return one_op(in, with_swish(training)); },
                         [&](const Tensors& in) { return two_ops(in, with_swish(training)); },
                         random_inputs({3, 5, 7, 40}, 10, random), random, 1e-14, 1e-12);
  }
}

TEST_CASE("gradients of batch norm with squeeze and excite") {
  Random random(2);
  // Channels and hidden numbers of one; primes; several chunks of pixels; several tiles of channels; more
  // images than a block of the last sums has lines.
  const std::pair<Shape, int64_t> sizes[] = {{{2, 2, 3, 1}, 1},  {{2, 3, 5, 7}, 3},    {{2, 41, 21, 41}, 5},
                                             {{2, 5, 3, 16}, 4}, {{2, 37, 29, 24}, 6}, {{1, 4, 5, 272}, 34},
                                             {{67, 1, 2, 8}, 3}};
  for (const bool training : {true, false})
    for (const auto& [shape, reduced] : sizes) {
      CAPTURE(training, shape, reduced);
      const auto op = [&](const Tensors& in) { return one_op(in, with_swish(training)); };
      CHECK_NOTHROW(check_op(op, random_inputs(shape, reduced, random),
                             {.max_probes = 20, .parameters = {1, 2, 3, 4, 5, 6}}));
    }
}

TEST_CASE("batch norm with squeeze and excite takes given statistics and updates running averages") {
  for (const Device device : {Device::cpu, Device::cuda}) {
    Random random(4);
    Tensors in;
    for (const Tensor& input : random_inputs({2, 6, 5, 12}, 3, random, DType::float32))
      in.push_back(input.to(device));
    const BatchNormTensors one = norm_of(in), two = norm_of(in);
    ChannelStatistics statistics;
    if (device == Device::cpu) gather(statistics, in[0].data<float>(), 60, 12);
    const Tensor y =
        batch_norm_squeeze_excite(in[0], one, with_swish(true), &statistics, in[3], in[4], in[5], in[6]);
    batch_norm(in[0], two.weight, two.bias, two.running_mean, two.running_variance, with_swish(true));
    CHECK(relative_difference(y, two_ops(in, with_swish(true))) < 1e-6);
    CHECK(relative_difference(one.running_mean, two.running_mean) < 1e-6);
    CHECK(relative_difference(one.running_variance, two.running_variance) < 1e-6);
  }
}

TEST_CASE("batch norm with squeeze and excite is four launches forward and five backward") {
  Random random(5);
  Tensors in;
  for (const Tensor& input : random_inputs({4, 16, 16, 96}, 4, random, DType::float32))
    in.push_back(input.to(Device::cuda).set_requires_grad());
  const BatchNormTensors norm = norm_of(in);
  const Tensor dy = in[0].clone();
  const int64_t before = cuda::counters().launches;
  const Tensor y =
      batch_norm_squeeze_excite(in[0], norm, with_swish(true), nullptr, in[3], in[4], in[5], in[6]);
  CHECK(cuda::counters().launches == before + 4);
  y.backward(dy);
  CHECK(cuda::counters().launches == before + 9);
}

TEST_CASE("batch norm with squeeze and excite is two ops where one would not do") {
  struct Names : TapeObserver {
    explicit Names(bool whole_) : whole(whole_) {}
    void on_op(const Op& op, const Tensors&, const Tensor&) override { names += std::string(op.name) + " "; }
    bool needs_whole_graph() const override { return whole; }
    bool whole;
    std::string names;
  };
  Random random(6);
  const Tensors in = random_inputs({1, 2, 2, 3}, 2, random);
  const auto names = [&](bool whole, Activation activation) {
    BatchNormOptions options = with_swish(true);
    options.activation = activation;
    Names observer(whole);
    one_op(in, options);
    return observer.names;
  };
  CHECK(names(false, Activation::swish) == "batch_norm_squeeze_excite ");
  CHECK(names(true, Activation::swish) == "batch_norm squeeze_excite ");
  CHECK(names(false, Activation::relu) == "batch_norm squeeze_excite ");
}

TEST_CASE("batch norm with squeeze and excite refuses other shapes") {
  Random random(7);
  const Tensors in = random_inputs({2, 2, 1, 3}, 2, random, DType::float32);
  const auto with = [&](size_t i, const Tensor& other) {
    Tensors changed = in;
    changed[i] = other;
    return one_op(changed, with_swish(true));
  };
  using Catch::Contains;
  CHECK_NOTHROW(one_op(in, with_swish(true)));
  CHECK_THROWS_WITH(with(0, zeros({4, 3})), Contains("[batch_norm_squeeze_excite] x is 4x3: it must be"));
  CHECK_THROWS_WITH(with(1, zeros({3}, DType::float64)),
                    Contains("[batch_norm_squeeze_excite] weight, bias"));
  CHECK_THROWS_WITH(with(3, zeros({2, 3})), Contains("w_reduce must be float32 of 3x2 for x 2x2x1x3"));
  CHECK_THROWS_WITH(with(6, zeros({3}).to(Device::cuda)), Contains("move them to one device"));
}
