#include "ops/squeeze_excite.h"

#include <catch2/catch.hpp>
#include <cmath>

#include "cuda/runtime/counters.h"
#include "cuda/runtime/device.h"
#include "ops/activation.h"
#include "ops/arithmetic.h"
#include "ops/matmul.h"
#include "ops/reduction.h"
#include "ops/shape_ops.h"
#include "ops/support/check_op.h"
#include "tests/support/same_gradients.h"

using namespace fovea;

namespace {

Tensor squeeze_excite_of(const Tensors& in) { return squeeze_excite(in[0], in[1], in[2], in[3], in[4]); }

// The same, op by op.
Tensor composed(const Tensors& in) {
  const Tensor hidden = swish(linear(global_average_pool(in[0]), in[1], in[2]));
  const Tensor gate = sigmoid(linear(hidden, in[3], in[4]));
  return in[0] * reshape(gate, {in[0].size(0), 1, 1, in[0].size(3)});
}

// x and the parameters, large enough for all of them to matter.
Tensors random_inputs(const Shape& shape, int64_t reduced, Random& random, DType dtype = DType::float64) {
  const int64_t channels = shape[3];
  return {randn(shape, random, dtype) + 0.5,
          randn({channels, reduced}, random, dtype) * (2 / std::sqrt(double(channels))),
          randn({reduced}, random, dtype),
          randn({reduced, channels}, random, dtype) * (2 / std::sqrt(double(reduced))),
          randn({channels}, random, dtype)};
}

}  // namespace

TEST_CASE("squeeze and excite by hand") {
  const Tensor x = from_values({1, 1, 2, 2}, {1, 10, 3, 30});
  // Means of 2 and 20; a hidden layer of 2 - 20 / 10 = 0 and log 9 / 2, which swish turns into 0 and log 3
  // times 0.75.
  const double log3 = std::log(3.0);
  const Tensor y = squeeze_excite(x, from_values({2, 2}, {1, 0, -0.1, 0}), from_values({2}, {0, log3}),
                                  from_values({2, 2}, {7, 7, 0, 4.0 / 3}), from_values({2}, {0, 0}));
  const std::vector<double> expected{0.5, 7.5, 1.5, 22.5};  // factors of 1/2 and sigmoid(log 3) = 3/4
  for (size_t i = 0; i < 4; ++i) CHECK(y.values()[i] == Approx(expected[i]));
}

TEST_CASE("squeeze and excite and its gradients equal their parts, op by op") {
  Random random(3);
  check_same_gradients(squeeze_excite_of, composed, random_inputs({3, 5, 7, 40}, 10, random), random, 1e-14,
                       1e-13);
}

TEST_CASE("gradients of squeeze and excite") {
  Random random(2);
  // Images, pixels, channels and hidden numbers of one; primes; several chunks of pixels; more channels and
  // hidden numbers than a block has threads; several tiles of images.
  const std::pair<Shape, int64_t> sizes[] = {
      {{1, 1, 1, 1}, 1},    {{2, 3, 5, 7}, 3},    {{2, 41, 21, 41}, 5},  {{2, 5, 3, 16}, 4},
      {{2, 37, 29, 24}, 6}, {{1, 4, 5, 272}, 34}, {{1, 1, 2, 600}, 520}, {{67, 1, 2, 8}, 3}};
  for (const auto& [shape, reduced] : sizes) {
    CAPTURE(shape, reduced);
    const Tensors in = random_inputs(shape, reduced, random);
    CHECK_NOTHROW(check_op(squeeze_excite_of, in, {.max_probes = 20, .parameters = {1, 2, 3, 4}}));
  }
}

TEST_CASE("squeeze and excite of no images has gradients of zero") {
  Random random(4);
  for (const Device device : {Device::cpu, Device::cuda}) {
    Tensors in;
    for (const Tensor& input : random_inputs({0, 2, 3, 8}, 2, random, DType::float32))
      in.push_back(input.to(device).set_requires_grad());
    const Tensor y = squeeze_excite_of(in);
    y.backward(empty_like(y));
    for (const Tensor& input : in) CHECK(input.grad().values() == std::vector<double>(size_t(input.numel())));
  }
}

TEST_CASE("squeeze and excite is three launches forward and four backward") {
  Random random(5);
  Tensors in;
  for (const Tensor& input : random_inputs({4, 16, 16, 96}, 4, random, DType::float32))
    in.push_back(input.to(Device::cuda).set_requires_grad());
  const Tensor dy = in[0].clone();
  const int64_t before = cuda::counters().launches;
  const Tensor y = squeeze_excite_of(in);
  CHECK(cuda::counters().launches == before + 3);
  y.backward(dy);
  CHECK(cuda::counters().launches == before + 7);
}

TEST_CASE("squeeze and excite refuses other shapes") {
  const Tensors in{zeros({2, 1, 1, 3}), zeros({3, 2}), zeros({2}), zeros({2, 3}), zeros({3})};
  const auto with = [&](size_t i, const Tensor& other) {
    Tensors changed = in;
    changed[i] = other;
    return squeeze_excite_of(changed);
  };
  using Catch::Contains;
  CHECK_NOTHROW(squeeze_excite_of(in));
  CHECK_THROWS_WITH(with(0, zeros({2, 0, 1, 3})),
                    Contains("x is 2x0x1x3: it must be (N, H, W, C) with pixels"));
  CHECK_THROWS_WITH(with(1, zeros({2, 3})), Contains("w_reduce must be float32 of 3x2 for x 2x1x1x3") &&
                                                Contains("got float32 of 2x3"));
  CHECK_THROWS_WITH(with(2, zeros({1, 2})), Contains("b_reduce must be float32 of 2"));
  CHECK_THROWS_WITH(with(2, zeros({0})), Contains("b_reduce 0 not empty"));
  CHECK_THROWS_WITH(with(3, zeros({3, 2})), Contains("w_expand must be float32 of 2x3"));
  CHECK_THROWS_WITH(with(4, zeros({3}, DType::float64)), Contains("b_expand must be float32 of 3"));
  CHECK_THROWS_WITH(with(4, zeros({3}).to(Device::cuda)), Contains("move them to one device"));
}
