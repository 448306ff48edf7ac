#include <fovea/ops/detection_loss.h>

#include "check.h"

#include <31_focal_loss.h>

using namespace fovea::learn;

STEP("with gamma 0 and alpha 1/2 it is half the cross entropy") {
  expect_close(focal_loss(0, true, 0.5, 0), std::log(2) / 2, "logit 0, positive", 1e-12);
  expect_close(focal_loss(std::log(3), true, 0.5, 0), -std::log(0.75) / 2, "logit log 3 (p = 0.75), positive",
               1e-12);
  expect_close(focal_loss(std::log(3), false, 0.5, 0), -std::log(0.25) / 2,
               "logit log 3 (p = 0.75), negative", 1e-12);
}

STEP("positives have the weight alpha, negatives 1 - alpha") {
  expect_close(focal_loss(0, true, 0.25, 0), 0.25 * std::log(2), "logit 0, positive, alpha 0.25", 1e-12);
  expect_close(focal_loss(0, false, 0.25, 0), 0.75 * std::log(2), "logit 0, negative, alpha 0.25", 1e-12);
}

STEP("the factor (1 - p_t)^gamma") {
  expect_close(focal_loss(std::log(3), true, 0.5, 2), 0.5 * 0.0625 * -std::log(0.75), "p_t = 0.75, gamma 2",
               1e-12);
  expect_close(focal_loss(-std::log(3), true, 0.5, 2), 0.5 * 0.5625 * -std::log(0.25), "p_t = 0.25, gamma 2",
               1e-12);
}

STEP("logits of 100 and 1000") {
  expect_close(focal_loss(100, false, 0.25, 1.5), 75, "logit 100, negative: 0.75 * 100", 1e-9);
  expect_close(focal_loss(-1000, true, 0.25, 1.5), 250, "logit -1000, positive: 0.25 * 1000", 1e-9);
  expect_close(focal_loss(1000, true, 0.25, 1.5), 0, "logit 1000, positive", 1e-12);
}

STEP("the same as Fovea's focal_loss") {
  std::vector<double> logits = sample(30);
  for (double& x : logits) x *= 8;
  std::vector<double> targets;  // 10 anchors of 3 classes; -1: background
  for (int anchor = 0; anchor < 10; ++anchor) targets.push_back(anchor % 4 - 1);
  double sum = 0;
  for (size_t i = 0; i < 30; ++i) sum += focal_loss(logits[i], targets[i / 3] == double(i % 3), 0.25, 1.5);
  expect_close(sum / 4,
               fovea::focal_loss(fovea::from_values({10, 3}, logits, fovea::DType::float64),
                                 fovea::from_values({10}, targets, fovea::DType::int32), 4.0)
                   .item(),
               "10 anchors of 3 classes, normalizer 4", 1e-9);
}
