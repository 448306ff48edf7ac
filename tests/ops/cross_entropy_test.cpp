#include "ops/cross_entropy.h"

#include <catch2/catch.hpp>
#include <cmath>

#include "ops/shape_ops.h"
#include "ops/support/check_op.h"

using namespace fovea;

TEST_CASE("cross entropy by hand, and stable for large logits") {
  const Tensor x = from_values({2, 2}, {0, std::log(3.0), 1000, 0}),
               labels = from_values({2}, {1, 1}, DType::int32);
  CHECK(softmax_cross_entropy(x, labels).item() == Approx((std::log(4.0 / 3) + 1000) / 2).epsilon(1e-6));
  CHECK(softmax(x).values()[0] == Approx(0.25));
  CHECK(softmax_cross_entropy(zeros({1, 4}), zeros({1}, DType::int32), 0.1).item() == Approx(std::log(4.0)));
}

TEST_CASE("gradients of cross entropy") {
  Random random(3);
  for (auto [n, k] : {std::pair<int64_t, int64_t>{1, 1}, {5, 7}, {300, 3}, {9, 16}, {19, 37}, {3, 1000}}) {
    const Tensor x = randn({n, k}, random, DType::float64);
    Tensor labels({n}, DType::int32);
    for (int32_t& label : labels.span<int32_t>()) label = int32_t(random.below(k));
    for (double smoothing : {0.0, 0.1}) {
      if (k == 1 && smoothing > 0)
        continue;  // the loss is 0 except for rounding: there is nothing to compare with
      CHECK_NOTHROW(check_op(
          [=](const Tensors& in) {
            return softmax_cross_entropy(in[0], labels.to(in[0].device()), smoothing);
          },
          {x}, {.max_probes = 30}));
    }
    CHECK(relative_difference(softmax(x.to(Device::cuda)), softmax(x)) < 1e-14);
  }
}

TEST_CASE("weights of classes multiply the cross entropy of their rows, and the mean is over all rows") {
  const std::vector<double> weights = {0.5, 1, 4};
  const Tensor w = from_values({3}, weights, DType::float64);
  Random random(8);
  const Tensor x = randn({5, 3}, random, DType::float64),
               labels = from_values({5}, {2, 0, 0, 1, 2}, DType::int32);
  double sum = 0;
  for (int64_t n = 0; n < 5; ++n) {
    const Tensor label = slice(labels, 0, n, n + 1);
    sum +=
        weights[size_t(label.values()[0])] * softmax_cross_entropy(slice(x, 0, n, n + 1), label, 0.1).item();
  }
  CHECK(softmax_cross_entropy(x, labels, 0.1, w).item() == Approx(sum / 5));
  CHECK_NOTHROW(check_op(
      [=](const Tensors& in) {
        const DType real = in[0].dtype() == DType::float64 ? DType::float64 : DType::float32;
        return softmax_cross_entropy(in[0], labels.to(in[0].device()), 0.1,
                                     from_values({3}, weights, real).to(in[0].device()));
      },
      {x}));
  CHECK_THROWS_WITH(softmax_cross_entropy(x, labels, 0, ones({2}, DType::float64)),
                    Catch::Contains("logits 5x3 need float64 of 3"));
}

TEST_CASE("softmax and its logarithm go along the last axis of any rank") {
  Random random(6);
  for (const Device device : {Device::cpu, Device::cuda}) {
    const Tensor matrix = randn({6, 5}, random).to(device);
    for (auto* op : {softmax, log_softmax}) {
      const std::vector<double> rows = op(matrix).values();
      CHECK(op(reshape(matrix, {2, 3, 5})).values() == rows);
      CHECK(op(reshape(matrix, {1, 2, 1, 3, 5})).shape() == Shape{1, 2, 1, 3, 5});
      CHECK(op(reshape(slice(matrix, 0, 0, 1), {5})).values() ==
            std::vector<double>(rows.begin(), rows.begin() + 5));
      CHECK(op(zeros({0, 3}).to(device)).numel() == 0);
      CHECK_THROWS_WITH(op(zeros({2, 0}).to(device)),
                        Catch::Contains("softmax] x is 2x0: it must have a last axis"));
      CHECK_THROWS_WITH(op(zeros({}).to(device)), Catch::Contains("x is scalar"));
    }
  }
}

TEST_CASE("the logarithm of softmax is exact where softmax is 0") {
  for (const Device device : {Device::cpu, Device::cuda})
    for (const int64_t classes : {3, 40}) {
      std::vector<double> logits(size_t(classes), -1000);
      logits[0] = 0;
      logits[1] = 200;
      const Tensor x = from_values({1, classes}, logits).to(device).clone().set_requires_grad();
      const Tensor y = log_softmax(x);
      CHECK(y.values()[0] == -200);
      CHECK(y.values()[1] == 0);
      CHECK(y.values()[2] == -1200);
      CHECK(softmax(x).values()[0] == 0);
      std::vector<double> dy(size_t(classes), 0);
      dy[0] = 1;
      y.backward(from_values({1, classes}, dy).to(device));
      CHECK(x.grad().values()[0] == 1);
      CHECK(x.grad().values()[1] == -1);
      CHECK(x.grad().values()[2] == 0);
    }
}

TEST_CASE("gradients of softmax and its logarithm") {
  Random random(4);
  for (auto [n, k] : {std::pair<int64_t, int64_t>{1, 1}, {5, 7}, {300, 3}, {9, 16}, {19, 37}, {3, 1000}}) {
    CHECK_NOTHROW(check_op([](const Tensors& in) { return softmax(in[0]); },
                           {randn({n, k}, random, DType::float64)}, {.max_probes = 30}));
    if (k > 1)  // for one number the logarithm is 0 except for rounding: there is nothing to compare with
      CHECK_NOTHROW(check_op([](const Tensors& in) { return log_softmax(in[0]); },
                             {randn({n, k}, random, DType::float64)}, {.max_probes = 30}));
  }
  CHECK_NOTHROW(check_op([](const Tensors& in) { return log_softmax(in[0]); },
                         {randn({2, 3, 17}, random, DType::float64)}));
  CHECK_NOTHROW(
      check_op([](const Tensors& in) { return softmax(in[0]); }, {randn({7}, random, DType::float64)}));
  CHECK(softmax(zeros({0, 3}, DType::float32, Device::cuda)).numel() == 0);

  // By hand: p = (1/4, 3/4) and dy = (1, 0), so that dx = p (dy - 1/4).
  const Tensor x = from_values({1, 2}, {0, std::log(3.0)}, DType::float64).set_requires_grad();
  softmax(x).backward(from_values({1, 2}, {1, 0}, DType::float64));
  CHECK(x.grad().values()[0] == Approx(0.1875));
  CHECK(x.grad().values()[1] == Approx(-0.1875));
}

TEST_CASE("in bfloat16 a constant along a row of a gradient cancels") {
  Random random(5);
  const Tensor x = cast(randn({3, 40}, random), DType::bfloat16).to(Device::cuda).set_requires_grad();
  softmax(x).backward(full({3, 40}, 256, DType::bfloat16, Device::cuda));
  for (const double dx : x.grad().values()) CHECK(std::abs(dx) < 1e-4);
}

TEST_CASE("a label out of range is named, and on CUDA makes the loss NaN") {
  CHECK_THROWS_WITH(softmax_cross_entropy(zeros({2, 3}), from_values({2}, {0, 3}, DType::int32)),
                    Catch::Contains("label 3 of row 1"));
  for (int64_t classes : {3, 40})
    for (int64_t label : {int64_t(-1), classes}) {
      const Tensor x = zeros({2, classes}, DType::float32, Device::cuda).set_requires_grad();
      const Tensor labels = from_values({2}, {0, double(label)}, DType::int32).to(Device::cuda);
      const Tensor loss = softmax_cross_entropy(x, labels);
      loss.backward();
      CHECK(std::isnan(loss.item()));
      CHECK(std::isfinite(x.grad().values().front()));
      CHECK(std::isnan(x.grad().values().back()));
    }
}
