#include <cmath>

#include "check.h"

#include <58_own_optimizer.h>

using namespace fovea::learn;

STEP("all three functions are given") {
  const OwnParts parts = own_optimizer();
  expect(bool(parts.learning_rate), "learning_rate is empty");
  expect(bool(parts.update), "update is empty");
  expect(bool(parts.average), "average is empty");
}

STEP("they have the constants of the training") {
  const OwnParts parts = own_optimizer();
  expect(parts.learning_rate && parts.update && parts.average, "a function is empty");
  expect_close(parts.learning_rate(50), milestone_rate, "learning_rate(50), the first step after the warm-up",
               1e-12);
  expect_close(parts.learning_rate(milestone_steps), 0, "learning_rate(milestone_steps)", 1e-12);
  std::vector<double> w{1}, m{0}, v{0}, average{0};
  parts.update(w, m, v, {3}, 0, 0.1);
  expect_close(w, std::vector<double>{1 - 0.1 * (1 + 4e-5)},
               "a weight of 1 after step 0 with gradient 3 and rate 0.1", 1e-8);
  expect_close(v, std::vector<double>{0.09}, "its variance, with beta2 0.99", 1e-9);
  parts.average(average, {1}, 1000000);
  expect_close(average, std::vector<double>{0.02}, "an average of 0 after a late step with weight 1", 1e-9);
}

STEP("efficientdet_d-3 reaches an AP50 of 0.3 on drawn shapes (one to three minutes)") {
  const OwnParts parts = own_optimizer();
  expect(parts.learning_rate && parts.update && parts.average, "a function is empty");
  const double ap50 = train_on_shapes(parts);
  expect(ap50 >= milestone_ap50, "expected an AP50 of at least {}, got {:.3f}", milestone_ap50, ap50);
}
