#include "train/loop/anomaly_check.h"

#include <catch2/catch.hpp>
#include <cmath>

#include "ops/arithmetic.h"
#include "ops/matmul.h"
#include "ops/reduction.h"

using namespace fovea;

TEST_CASE("the first op whose output is not finite is named, with the parameter it read or follows") {
  for (const Device device : {Device::cpu, Device::cuda}) {
    Tensor w = from_values({2, 2}, {1, 2, 3, 4}).to(device), v = from_values({2, 2}, {1, 0, 0, 1}).to(device);
    w.set_requires_grad();
    v.set_requires_grad();
    const Tensor x = ones({3, 2}, DType::float32, device);
    const auto first = [&](const Tensor& input, double factor) {
      const AnomalyCheck check({{"first.weight", w}, {"second.weight", v}});
      const Tensor h = matmul(input, w) * factor;
      sum(matmul(h * h, v)).backward();
      return check.first();
    };
    CHECK_FALSE(first(x, 1));
    const auto squared = first(x, 1e30);  // 4e30 squared is more than float32 holds
    REQUIRE(squared);
    CHECK(squared->op == "multiply");
    CHECK_FALSE(squared->backward);
    CHECK(squared->tensor == "first.weight");
    CHECK_FALSE(squared->direct);
    CHECK_FALSE(squared->given);
    CHECK(squared->shape == Shape({3, 2}));
    const auto given = first(full({3, 2}, NAN, DType::float32, device), 1);
    REQUIRE(given);
    CHECK(given->op == "matmul");
    CHECK(given->given);
    CHECK(given->direct == false);

    w.fill(INFINITY);
    const auto weight = first(x, 1);
    REQUIRE(weight);
    CHECK(weight->given);
    CHECK(weight->direct);
    CHECK(weight->tensor == "first.weight");
    CHECK(weight->shape == Shape({2, 2}));
  }
}

TEST_CASE("a gradient that is not finite although the loss is") {
  Tensor w = from_values({1, 1}, {1e-30});
  w.set_requires_grad();
  const AnomalyCheck check({{"weight", w}});
  const Tensor x = full({1, 1}, 1);
  // 1 / w is finite, its derivative, 1 / w^2, is not.
  sum(x / matmul(x, w)).backward();
  REQUIRE(check.first());
  CHECK(check.first()->op == "divide");
  CHECK(check.first()->backward);
  CHECK(check.first()->tensor == "weight");
  CHECK_FALSE(check.first()->direct);
}

TEST_CASE("a running average is not blamed for a failure: the op may have overwritten it") {
  Tensor w = ones({2});
  w.set_requires_grad();
  const Tensor average = full({2}, INFINITY);
  const AnomalyCheck check({{"norm.weight", w}, {"norm.running_var", average}});
  multiply(w, average);
  REQUIRE(check.first());
  CHECK(check.first()->op == "multiply");
  CHECK_FALSE(check.first()->given);
  CHECK(check.first()->tensor == "norm.weight");
}

TEST_CASE("all_finite checks every dtype") {
  CHECK(all_finite(Tensor()));
  CHECK(all_finite(full({3}, 7, DType::int32)));
  CHECK_FALSE(all_finite(from_values({2}, {1, -INFINITY}, DType::bfloat16)));
  CHECK_FALSE(all_finite(from_values({2}, {1, NAN}, DType::float64)));
  CHECK(all_finite(from_values({2}, {1, 1e38})));
  CHECK(all_finite(from_values({2}, {1, 1e300}, DType::float64)));
  struct Counter : TapeObserver {
    int ops = 0;
    void on_op(const Op&, const Tensors&, const Tensor&) override { ++ops; }
  } counter;
  CHECK(all_finite(ones({2}, DType::float32, Device::cuda)));
  CHECK(counter.ops == 0);  // checking numbers is not an op
}
