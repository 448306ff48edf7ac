// Exercise 27: the Huber loss of a box code
#pragma once
#include <cmath>

// For an error e = prediction - target:  e^2 / 2 where |e| <= delta,  delta (|e| - delta / 2) beyond. The two
// pieces meet in value and in slope. Boxes that are far off have a gradient of delta and no more, so that a
// few of them do not decide the step.
struct LossAndDerivative {
  double loss, derivative;  // the derivative is with respect to the prediction
};
inline LossAndDerivative huber_loss(double prediction, double target, double delta) {
  const double error = prediction - target;
  if (std::abs(error) <= delta) return {error * error / 2, error};
  return {delta * (std::abs(error) - delta / 2), std::copysign(delta, error)};
}
