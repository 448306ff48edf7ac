#include "ops/detection_loss.h"

#include <catch2/catch.hpp>
#include <cmath>

#include "ops/check_op.h"

using namespace fovea;

namespace {
// The paper's formula with pow and log as written, in double.
double focal(double x, bool positive, double alpha, double gamma, double smoothing) {
  const double p = 1 / (1 + std::exp(-x)), pt = positive ? p : 1 - p,
               target = (positive ? 1 - smoothing : 0) + smoothing / 2;
  return (positive ? alpha : 1 - alpha) * std::pow(1 - pt, gamma) *
         -(target * std::log(p) + (1 - target) * std::log(1 - p));
}
}  // namespace

TEST_CASE("focal loss equals its formula") {
  const std::vector<double> x = {-3, 0.5, 2, 1, -1, 0.1};
  const Tensor targets = from_values({3}, {1, background_target, ignored_target}, DType::int32);
  for (double smoothing : {0.0, 0.1}) {
    const double expected = (focal(-3, false, 0.3, 2, smoothing) + focal(0.5, true, 0.3, 2, smoothing) +
                             focal(2, false, 0.3, 2, smoothing) + focal(1, false, 0.3, 2, smoothing)) /
                            7;
    const FocalLossOptions options{0.3, 2, smoothing};
    CHECK(focal_loss(from_values({3, 2}, x, DType::float64), targets, 7, options).item() ==
          Approx(expected).epsilon(1e-12));
    CHECK(focal_loss(from_values({3, 2}, x), targets, 7, options).item() == Approx(expected).epsilon(1e-5));
  }
}

TEST_CASE("focal loss is finite for any logit, with its gradient") {
  for (double x : {-1e4, -90.0, 0.0, 90.0, 1e4})
    for (int target : {0, background_target}) {
      Tensor logits = from_values({1, 1}, {x}).set_requires_grad();
      const Tensor loss = focal_loss(logits, from_values({1}, {double(target)}, DType::int32), 1);
      loss.backward();
      CHECK(std::isfinite(loss.item()));
      CHECK(std::isfinite(logits.grad().item()));
      const bool wrong = (x > 0) != (target == 0) && x != 0;
      if (wrong) CHECK(loss.item() == Approx((target == 0 ? 0.25 : 0.75) * std::abs(x)).epsilon(1e-4));
    }
}

TEST_CASE("gradients of the detection losses") {
  Random random(3);
  for (int64_t classes : {1, 3, 90}) {
    const int64_t anchors = 131;
    const Tensor logits = randn({1, anchors, classes}, random, DType::float64);
    std::vector<double> labels;
    for (int64_t i = 0; i < anchors; ++i) labels.push_back(double(random.below(classes + 2)) - 2);
    const Tensor targets = from_values({1, anchors}, labels, DType::int32);
    for (double gamma : {0.0, 1.5, 2.0})
      CHECK_NOTHROW(check_op(
          [=](const Tensors& in) {
            return focal_loss(in[0], targets, 13, {0.25, gamma, 0.05});
          },
          {logits}, {.most_probes = 60}));
  }
  const Tensor p = randn({37, 4}, random, DType::float64), t = randn({37, 4}, random, DType::float64);
  t.data<double>()[5] = 0;
  CHECK_NOTHROW(check_op(
      [=](const Tensors& in) {
        return huber_loss(in[0], in[0].dtype() == DType::float64 ? t : from_values(t.shape(), t.values()), 5,
                          0.3);
      },
      {p}));
}

TEST_CASE("Huber loss by hand") {
  const Tensor p = from_values({1, 4}, {1, 1, 1, 1}), t = from_values({1, 4}, {0.95, 0, 3, 1});
  // |e| = 0.05: 0.5 e^2; target 0: not counted; |e| = 2: 0.5 0.01 + 0.1 1.9; equal: 0
  CHECK(huber_loss(p, t, 2).item() == Approx((0.00125 + 0.005 + 0.19) / 8).epsilon(1e-5));
}

TEST_CASE("detection losses refuse targets that do not fit") {
  CHECK_THROWS_WITH(focal_loss(zeros({2, 3}), from_values({2}, {0, 3}, DType::int32), 1),
                    Catch::Contains("target 3 of anchor 1") && Catch::Contains("0 to 2"));
  CHECK_THROWS_WITH(focal_loss(zeros({2, 3}), zeros({3}, DType::int32), 1),
                    Catch::Contains("one int32 target an anchor"));
  CHECK_THROWS_WITH(focal_loss(zeros({2, 3}), zeros({2}, DType::int32), 0), Catch::Contains("normalizer 0"));
  CHECK_THROWS_WITH(huber_loss(zeros({2, 4}), zeros({3, 4}), 1), Catch::Contains("2x4"));
}
