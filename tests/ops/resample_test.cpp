#include "ops/resample.h"

#include <catch2/catch.hpp>

#include "ops/support/check_op.h"

using namespace fovea;

TEST_CASE("upsampling repeats pixels and sums their gradients") {
  for (Device device : {Device::cpu, Device::cuda}) {
    const Tensor x = from_values({1, 1, 2, 1}, {3, 4}).to(device).clone().set_requires_grad();
    const Tensor y = upsample_nearest(x, 2, 3);
    CHECK(y.values() == std::vector<double>{3, 3, 4, 3, 3, 4});
    y.backward(ones(y.shape(), DType::float32, device));
    CHECK(x.grad().values() == std::vector<double>{4, 2});
  }
}

TEST_CASE("gradients of upsampling") {
  Random random(1);
  for (auto [h, w] : {std::pair<int64_t, int64_t>{1, 1}, {2, 7}, {8, 5}})
    for (int64_t channels : {5, 16}) {
      const Tensor x = randn({2, h, w, channels}, random, DType::float64);
      const int64_t height = 2 * h - 1, width = 3 * w;
      CHECK_NOTHROW(check_op([=](const Tensors& in) { return upsample_nearest(in[0], height, width); }, {x}));
    }
  CHECK_THROWS_WITH(upsample_nearest(zeros({1, 4, 4, 1}), 3, 8), Catch::Contains("only larger"));
}

TEST_CASE("upsampling is recorded under its own name, and that name refuses integers") {
  const Tensor x = zeros({1, 4, 4, 1}).set_requires_grad();
  CHECK(std::string(upsample_nearest(x, 8, 8).node()->op) == "upsample_nearest");
  CHECK_THROWS_WITH(upsample_nearest(zeros({1, 2, 2, 1}, DType::int32), 4, 4),
                    Catch::Contains("[upsample_nearest]"));
}
