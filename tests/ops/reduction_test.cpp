#include "ops/reduction.h"

#include <catch2/catch.hpp>
#include <cmath>

#include "cuda/kernels/reduction.h"
#include "ops/support/check_op.h"

using namespace fovea;

TEST_CASE("sums and means by hand") {
  const Tensor x = from_values({2, 3}, {1, 2, 3, 4, 5, 6});
  CHECK(sum(x).item() == 21);
  CHECK(mean(x, 0).values() == std::vector<double>{2.5, 3.5, 4.5});
  CHECK(sum(x, -1, true).shape() == Shape{2, 1});
  CHECK(sum(zeros({0, 3}), 0).values() == std::vector<double>{0, 0, 0});
  CHECK(global_average_pool(from_values({1, 1, 2, 2}, {1, 10, 3, 30})).values() ==
        std::vector<double>{2, 20});
}

TEST_CASE("gradients of global average pooling, and its refusals") {
  Random random(2);
  for (const Shape& shape : {Shape{1, 1, 1, 1}, Shape{2, 3, 5, 7}, Shape{3, 41, 13, 97}, Shape{2, 5, 3, 16},
                             Shape{2, 37, 29, 24}, Shape{1, 4, 5, 272}})
    CHECK_NOTHROW(check_op([](const Tensors& in) { return global_average_pool(in[0]); },
                           {randn(shape, random, DType::float64)}, {.max_probes = 20}));
  CHECK_THROWS_WITH(global_average_pool(zeros({2, 3})), Catch::Contains("2x3"));
  CHECK_THROWS_WITH(global_average_pool(zeros({2, 0, 4, 3})), Catch::Contains("with pixels"));
}

TEST_CASE("maxima and their places by hand, with ties and NaN") {
  for (const Device device : {Device::cpu, Device::cuda}) {
    const Tensor x = from_values({2, 3}, {1, 5, 5, -2, -1, -7}).to(device).clone().set_requires_grad();
    const Tensor y = max(x, 1), whole = max(x, 0, true);
    CHECK(y.values() == std::vector<double>{5, -1});
    CHECK(whole.shape() == Shape{1, 3});
    CHECK(whole.values() == std::vector<double>{1, 5, 5});
    y.backward(from_values({2}, {3, 4}).to(device));
    CHECK(x.grad().values() == std::vector<double>{0, 3, 0, 0, 4, 0});  // of the two 5, the first
    const Tensor places = argmax(x.detach(), -1);
    CHECK(places.dtype() == DType::int64);
    CHECK(places.device() == device);
    CHECK(places.values() == std::vector<double>{1, 1});
    CHECK(argmax(x.detach(), 0).values() == std::vector<double>{0, 0, 0});
    const Tensor strange =
        from_values({3, 3}, {1, NAN, NAN, -INFINITY, -INFINITY, -INFINITY, 1, INFINITY, 2});
    CHECK(argmax(strange.to(device), 1).values() == std::vector<double>{1, 0, 1});
    CHECK(std::isnan(max(strange.to(device), 1).values()[0]));
    CHECK(max(zeros({0, 3}).to(device), 1).numel() == 0);
    // The lanes of a warp share the numbers of a long row: test a tie between two of them, and a NaN.
    for (const int64_t first : {0, 31, 32, 70, 998}) {
      std::vector<double> row(1000, -1);
      row[size_t(first)] = row[999] = 2;
      CHECK(argmax(from_values({1, 1000}, row).to(device), 1).item() == double(first));
      row[size_t(first)] = row[999] = NAN;
      CHECK(argmax(from_values({1, 1000}, row).to(device), 1).item() == double(first));
    }
    CHECK_THROWS_WITH(max(zeros({2, 0}).to(device), 1),
                      "[max] axis 1 of 2x0 is empty: there is no largest number");
    CHECK_THROWS_WITH(argmax(zeros({2}, DType::int32).to(device), 0), Catch::Contains("[argmax]"));
    CHECK_THROWS_WITH(argmax(x, 0), Catch::Contains("[argmax] x requires a gradient"));
  }
}

TEST_CASE("gradients of the maximum") {
  Random random(6);
  for (const Shape& shape :
       {Shape{1}, Shape{7, 5}, Shape{2, 3, 5, 11}, Shape{2, 70, 24}, Shape{5, 19, 1}, Shape{3, 520}}) {
    const Tensor x = randn(shape, random, DType::float64);
    for (int axis = 0; axis < shape.rank(); ++axis) {
      CHECK_NOTHROW(check_op([=](const Tensors& in) { return max(in[0], axis); }, {x},
                             {.step = 1e-7, .max_probes = 20}));
      CHECK(argmax(x.to(Device::cuda), axis).values() == argmax(x, axis).values());
    }
  }
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

TEST_CASE("on CUDA an empty sum is 0, and a long one keeps its digits") {
  CHECK(sum(zeros({0, 3}, DType::float32, Device::cuda), 0).values() == std::vector<double>{0, 0, 0});
  CHECK(sum(zeros({3, 0}, DType::float32, Device::cuda)).item() == 0);
  CHECK(sum(zeros({3, 0}, DType::float32, Device::cuda), 0).numel() == 0);
  CHECK(mean(full({300001}, 0.1, DType::float32, Device::cuda)).item() == Approx(0.1).epsilon(1e-6));
}

TEST_CASE("reductions refuse missing axes and empty means") {
  CHECK_THROWS_WITH(sum(zeros({2, 3}), 2), Catch::Contains("2x3 has no axis 2"));
  CHECK_THROWS_WITH(mean(zeros({0})), Catch::Contains("no numbers to take the mean of"));
}
