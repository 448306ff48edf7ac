// Exercise 31: the focal loss
#pragma once
#include <algorithm>
#include <cmath>

// p = 1 / (1 + exp(-logit)). For an anchor with an object of this class p_t = p and alpha_t = alpha, for all
// others p_t = 1 - p and alpha_t = 1 - alpha:
//   loss = alpha_t (1 - p_t)^gamma (-log p_t)
// With y = -logit for a positive and y = logit for a negative, 1 - p_t = sigmoid(y) and -log p_t = log(1 +
// exp(y)), which for large y is y. Most of the 49,104 anchors of an image are easy negatives: their factor (1
// - p_t)^gamma keeps them from deciding the gradient by their number.
inline double focal_loss(double logit, bool positive, double alpha, double gamma) {
  const double y = positive ? -logit : logit;
  // log(1 + e^y) = max(y, 0) + log(1 + e^-|y|): the exponent is never positive, and log1p keeps a small
  // e^-|y|.
  const double cross_entropy = std::max(y, 0.0) + std::log1p(std::exp(-std::abs(y)));
  const double miss = 1 / (1 + std::exp(-y));  // exp(-y) may be infinite, and 1 / infinity is 0
  return (positive ? alpha : 1 - alpha) * std::pow(miss, gamma) * cross_entropy;
}
