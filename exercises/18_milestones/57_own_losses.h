// Exercise 57: train a detector with your losses
//
// Goal:      Your focal loss and your Huber loss train efficientdet_d-3 on drawn shapes.
// Builds on: 27, 31, 32
// Minutes:   15
// Source:    arXiv 1911.09070, section 5.1; train/detection/detection_recipe.cpp
// Time limit: 900
#pragma once
#include <milestone.h>

#include <08_softmax_and_losses/27_huber_loss.h>
#include <10_detection_losses/31_focal_loss.h>
#include <10_detection_losses/32_focal_loss_gradient.h>

// Give the training your functions of exercises 27, 31 and 32. OwnParts (exercises/support/milestone.h) has
//   class_loss(logit, positive)               with alpha 0.25 and gamma 1.5
//   class_loss_derivative(logit, positive)    the same
//   box_loss(prediction, target)              with delta 0.1; gives {loss, derivative}
// A lambda will do: parts.class_loss = [](double logit, bool positive) { return ...; };
inline fovea::learn::OwnParts own_losses() {
  fovea::learn::OwnParts parts;
  // ---- your code: 5 to 8 lines ----
  // ---- end ----
  return parts;
}
