#include "ops/dropout.h"

#include <catch2/catch.hpp>

#include "ops/check_op.h"

using namespace fovea;

TEST_CASE("dropout removes the share it says and keeps the mean") {
  const Tensor y = dropout(ones({100000}), 0.3, 42);
  int64_t dropped = 0;
  double sum = 0;
  for (double v : y.values()) {
    dropped += v == 0;
    sum += v;
    if (v != 0) CHECK(v == Approx(1 / 0.7));
  }
  CHECK(double(dropped) == Approx(30000).margin(600));
  CHECK(sum == Approx(100000).epsilon(0.01));
  CHECK(dropout(ones({1000}), 0.3, 42).values() == dropout(ones({1000}), 0.3, 42).values());
  CHECK(dropout(ones({1000}), 0.3, 42).values() != dropout(ones({1000}), 0.3, 43).values());
}

TEST_CASE("stochastic depth drops whole samples") {
  const Tensor y = stochastic_depth_add(full({64, 3, 2}, 2), ones({64, 3, 2}), 0.5, 7);
  int kept = 0;
  for (int64_t n = 0; n < 64; ++n) {
    const double first = y.values()[size_t(n * 6)];
    CHECK((first == 1 || first == 5));
    kept += first == 5;
    for (int64_t i = 1; i < 6; ++i) CHECK(y.values()[size_t(n * 6 + i)] == first);
  }
  CHECK(kept > 16);
  CHECK(kept < 48);
}

TEST_CASE("gradients go through the same mask") {
  Random random(3);
  const Tensor x = randn({5, 7, 3}, random, DType::float64), s = randn({5, 7, 3}, random, DType::float64);
  for (double p : {0.0, 0.4}) {
    CHECK_NOTHROW(check_op([=](const Tensors& in) { return dropout(in[0], p, 11); }, {x}));
    CHECK_NOTHROW(check_op([=](const Tensors& in) { return stochastic_depth(in[0], p, 11); }, {x}));
    CHECK_NOTHROW(
        check_op([=](const Tensors& in) { return stochastic_depth_add(in[0], in[1], p, 11); }, {x, s}));
  }
  CHECK_THROWS_WITH(dropout(x, 1.0, 1), Catch::Contains("[0, 1)"));
  CHECK_THROWS_WITH(stochastic_depth_add(x, zeros({1}, DType::float64), 0.1, 1), Catch::Contains("5x7x3"));
}
