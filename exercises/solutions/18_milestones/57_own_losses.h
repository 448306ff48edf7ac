// Exercise 57: train a detector with your losses
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
  parts.class_loss = [](double logit, bool positive) { return focal_loss(logit, positive, 0.25, 1.5); };
  parts.class_loss_derivative = [](double logit, bool positive) {
    return focal_loss_derivative(logit, positive, 0.25, 1.5);
  };
  parts.box_loss = [](double prediction, double target) {
    const LossAndDerivative result = huber_loss(prediction, target, 0.1);
    return std::pair{result.loss, result.derivative};
  };
  return parts;
}
