#include "ops/reduction.h"

#include <catch2/catch.hpp>

#include "cuda/kernels/reduction.h"
#include "ops/support/check_op.h"

using namespace fovea;

TEST_CASE("sums and means by hand") {
  const Tensor x = from_values({2, 3}, {1, 2, 3, 4, 5, 6});
  CHECK(sum(x).item() == 21);
  CHECK(mean(x, 0).values() == std::vector<double>{2.5, 3.5, 4.5});
  CHECK(sum(x, -1, true).shape() == Shape{2, 1});
  CHECK(sum(zeros({0, 3}), 0).values() == std::vector<double>{0, 0, 0});
}

TEST_CASE("a long float32 sum keeps its digits") {
  CHECK(mean(full({3000001}, 0.1)).item() == Approx(0.1).epsilon(1e-6));
}

TEST_CASE("gradients of reductions") {
  Random random(3);
  for (const Shape& shape : {Shape{1}, Shape{7, 5}, Shape{2, 3, 5, 11}, Shape{9001, 2}, Shape{2, 70, 24},
                             Shape{5, 19, 1}, Shape{701, 16}, Shape{18, 520}}) {
    const Tensor x = randn(shape, random, DType::float64);
    for (int axis = 0; axis < shape.rank(); ++axis) {
      CHECK_NOTHROW(check_op([=](const Tensors& in) { return sum(in[0], axis); }, {x},
                             {.float32_tolerance = 1e-4, .max_probes = 20}));
      CHECK_NOTHROW(check_op([=](const Tensors& in) { return mean(in[0], axis, true); }, {x},
                             {.float32_tolerance = 1e-4, .max_probes = 20}));
    }
    CHECK_NOTHROW(check_op([](const Tensors& in) { return mean(in[0]); }, {x},
                           {.float32_tolerance = 1e-4, .max_probes = 20}));
  }
}

TEST_CASE("column sums on CUDA") {
  Random random(4);
  for (const Shape& shape : {Shape{1, 1}, Shape{16, 5}, Shape{17, 7}, Shape{300, 40}, Shape{1100, 9}}) {
    const Tensor x = from_values(shape, randn(shape, random).values(), DType::bfloat16);
    const Tensor exact = sum(from_values(shape, x.values(), DType::float64), 0);
    const Tensor on_cuda = x.to(Device::cuda), sums({shape[1]}, DType::float32, Device::cuda);
    cuda::column_sums(on_cuda.data<bfloat16>(), sums.data<float>(), shape[0], shape[1]);
    CHECK(relative_difference(sums, exact) < 1e-6);
  }
}

TEST_CASE("on CUDA the sum of nothing is 0, and a long one keeps its digits") {
  CHECK(sum(zeros({0, 3}, DType::float32, Device::cuda), 0).values() == std::vector<double>{0, 0, 0});
  CHECK(sum(zeros({3, 0}, DType::float32, Device::cuda)).item() == 0);
  CHECK(sum(zeros({3, 0}, DType::float32, Device::cuda), 0).numel() == 0);
  CHECK(mean(full({300001}, 0.1, DType::float32, Device::cuda)).item() == Approx(0.1).epsilon(1e-6));
}

TEST_CASE("reductions refuse what is not there") {
  CHECK_THROWS_WITH(sum(zeros({2, 3}), 2), Catch::Contains("2x3 has no axis 2"));
  CHECK_THROWS_WITH(mean(zeros({0})), Catch::Contains("mean of nothing"));
}
