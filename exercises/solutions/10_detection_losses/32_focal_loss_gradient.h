// Exercise 32: the derivative of the focal loss
#pragma once
#include <algorithm>
#include <cmath>

// With y, u = 1 - p_t = sigmoid(y) and c = -log p_t = log(1 + exp(y)) of exercise 31, the loss is alpha_t
// u^gamma c. Use du/dy = u (1 - u) and dc/dy = u, and remember the sign of dy/dlogit. Finite for any logit.
inline double focal_loss_derivative(double logit, bool positive, double alpha, double gamma) {
  const double sign = positive ? -1 : 1, y = sign * logit;
  const double c = std::max(y, 0.0) + std::log1p(std::exp(-std::abs(y)));
  const double u = 1 / (1 + std::exp(-y)),
               rest = 1 / (1 + std::exp(y));  // rest = 1 - u, without cancellation
  // (u^gamma)' = gamma u^gamma (1 - u): no division by u, which may be 0.
  return sign * (positive ? alpha : 1 - alpha) * std::pow(u, gamma) * (gamma * rest * c + u);
}
