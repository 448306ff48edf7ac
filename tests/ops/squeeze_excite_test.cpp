#include "ops/squeeze_excite.h"

#include <catch2/catch.hpp>

#include "ops/support/check_op.h"

using namespace fovea;

TEST_CASE("pooling and scaling by hand") {
  const Tensor x = from_values({1, 1, 2, 2}, {1, 10, 3, 30});
  CHECK(global_average_pool(x).values() == std::vector<double>{2, 20});
  CHECK(scale_channels(x, from_values({1, 2}, {2, 0.5})).values() == std::vector<double>{2, 5, 6, 15});
}

TEST_CASE("gradients of pooling and scaling") {
  Random random(2);
  for (const Shape& shape : {Shape{1, 1, 1, 1}, Shape{2, 3, 5, 7}, Shape{3, 41, 13, 97}, Shape{2, 5, 3, 16},
                             Shape{2, 37, 29, 24}, Shape{1, 4, 5, 272}}) {
    const Tensor x = randn(shape, random, DType::float64),
                 s = randn({shape[0], shape[3]}, random, DType::float64);
    CHECK_NOTHROW(
        check_op([](const Tensors& in) { return global_average_pool(in[0]); }, {x}, {.max_probes = 20}));
    CHECK_NOTHROW(
        check_op([](const Tensors& in) { return scale_channels(in[0], in[1]); }, {x, s}, {.max_probes = 20}));
  }
}

TEST_CASE("pooling and scaling refuse other shapes") {
  CHECK_THROWS_WITH(global_average_pool(zeros({2, 3})), Catch::Contains("2x3"));
  CHECK_THROWS_WITH(scale_channels(zeros({2, 1, 1, 3}), zeros({2, 4})), Catch::Contains("2x4"));
}
