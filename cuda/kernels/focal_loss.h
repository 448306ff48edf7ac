#pragma once
#include "cuda/device/host_device.h"
#include "cuda/device/math.h"

namespace fovea {

// The constants of the focal loss; EfficientDet's (section 5.1).
struct FocalLossOptions {
  double alpha = 0.25;         // weight of positives; negatives get 1 - alpha
  double gamma = 1.5;          // how fast the loss of easy examples falls
  double label_smoothing = 0;  // only in the cross entropy, not in p_t
};

// Focal loss of one logit (arXiv 1708.02002, as in EfficientDet's code), stable for any x, with its
// derivative: alpha_t u^gamma CE. With y = -x for a positive and x for a negative, u = 1 - p_t = sigmoid(y),
// and the cross entropy with label smoothing s is softplus(y) - y s / 2. Both follow from t = e^-|y|:
// softplus(y) = max(y, 0) + log(1 + t), and u = v^2 with v = 1 / sqrt(1 + t), for negative y times sqrt(t);
// then u^1.5 = u v, and EfficientDet's gamma costs one exponential and one reciprocal square root.
template <class T>
struct FocalLoss {
  T alpha, gamma, smoothing;

  // The result of at() for one logit.
  struct Result {
    T loss, derivative;  // with respect to x
  };
  // `positive` is 1 for an anchor with an object of this class, 0 for others. THREE_HALVES: gamma is 1.5.
  // Stored: the type of the logits and of the stored gradient (math.h).
  template <bool THREE_HALVES, class Stored = T>
  FOVEA_HOST_DEVICE Result at(T x, T positive) const {
    const T sign = T(1) - T(2) * positive, alpha_t = alpha * positive + (T(1) - alpha) * (T(1) - positive);
    const Result of = of_y<THREE_HALVES, Stored>(sign * x, alpha_t);
    return {of.loss, sign * of.derivative};
  }
  // The same if `positive` is 0, as it is for almost every logit.
  template <bool THREE_HALVES, class Stored = T>
  FOVEA_HOST_DEVICE Result of_negative(T x) const {
    return of_y<THREE_HALVES, Stored>(x, T(1) - alpha);
  }
  // Calls f.operator()<THREE_HALVES>().
  template <class F>
  void with_gamma(F&& f) const {
    gamma == T(1.5) ? f.template operator()<true>() : f.template operator()<false>();
  }

 private:
  // The loss and its derivative with respect to y.
  template <bool THREE_HALVES, class Stored>
  FOVEA_HOST_DEVICE Result of_y(T y, T alpha_t) const {
    const T size = y < T(0) ? -y : y, above = y > T(0) ? y : T(0), below = above - y;
    const T h = exponential_for<Stored>(T(-0.5) * size), t = h * h, log_part = log1p_for<Stored>(t);
    // One choice between y > 0 and the rest, so that loops over logits vectorise: m^2 is 1 or t, and t + (1 -
    // m^2) is the other of the two, without cancellation.
    const T m = y > T(0) ? T(1) : h, q = reciprocal_sqrt(T(1) + t), v = m * q, u = v * v;
    // 1 - u. Where that cancels it is small beside the u that it is added to below, enough for bfloat16.
    const T rest = std::is_same_v<Stored, bfloat16> ? T(1) - u : q * q * (t + (T(1) - m * m));
    const T half_smoothing = T(0.5) * smoothing;
    const T weight = alpha_t * (THREE_HALVES ? u * v : exponential(-gamma * (below + log_part)));
    const T cross_entropy = above + log_part - half_smoothing * y;
    return {weight * cross_entropy, weight * (u - half_smoothing + gamma * rest * cross_entropy)};
  }
};

}  // namespace fovea
