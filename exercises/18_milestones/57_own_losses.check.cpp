#include <cmath>

#include "check.h"

#include <57_own_losses.h>

using namespace fovea::learn;

STEP("all three functions are given") {
  const OwnParts parts = own_losses();
  expect(bool(parts.class_loss), "class_loss is empty");
  expect(bool(parts.class_loss_derivative), "class_loss_derivative is empty");
  expect(bool(parts.box_loss), "box_loss is empty");
}

STEP("they are yours, with the constants of EfficientDet") {
  const OwnParts parts = own_losses();
  expect(parts.class_loss && parts.class_loss_derivative && parts.box_loss, "a function is empty");
  expect_close(parts.class_loss(0, true), 0.25 * std::pow(0.5, 1.5) * std::log(2), "class_loss(0, positive)");
  expect_close(parts.class_loss_derivative(0, true),
               -0.25 * std::pow(0.5, 1.5) * (1.5 * 0.5 * std::log(2) + 0.5),
               "class_loss_derivative(0, positive)");
  expect_close(parts.box_loss(1, 0).first, 0.095, "box_loss(1, 0), the loss");
  expect_close(parts.box_loss(0.05, 0).second, 0.05, "box_loss(0.05, 0), the derivative");
}

STEP("efficientdet_d-3 reaches an AP50 of 0.3 on drawn shapes (one to three minutes)") {
  const OwnParts parts = own_losses();
  expect(parts.class_loss && parts.class_loss_derivative && parts.box_loss, "a function is empty");
  const double ap50 = train_on_shapes(parts);
  expect(ap50 >= milestone_ap50, "expected an AP50 of at least {}, got {:.3f}", milestone_ap50, ap50);
}
