#pragma once
#include "cuda/device/host_device.h"
#include "cuda/device/math.h"

namespace fovea {

// The constants of the focal loss; EfficientDet's (section 5.1).
struct FocalLossOptions {
  double alpha = 0.25;         // weight of positives; negatives get 1 - alpha
  double gamma = 1.5;          // how fast easy examples stop counting
  double label_smoothing = 0;  // enters the cross entropy only, not p_t
};

// Focal loss of one logit (arXiv 1708.02002, as in EfficientDet's code) in logits, stable for any x:
// alpha_t (1 - p_t)^gamma CE. With z = x for a positive and -x for a negative, 1 - p_t = sigmoid(-z) = u and
// log u = -softplus(z), so u^gamma = e^(-gamma softplus(z)) needs no power.
template <class T>
struct FocalLoss {
  T alpha, gamma, smoothing;

  // What value and derivative share; `positive` is 1 for an anchor with an object of this class, 0 for
  // others.
  struct Parts {
    T weight, cross_entropy, u, target, p;
  };
  FOVEA_HOST_DEVICE Parts parts(T x, T positive) const {
    const T z = positive > T(0) ? x : -x;
    const T target = positive * (T(1) - smoothing) + T(0.5) * smoothing;
    const T alpha_t = positive > T(0) ? alpha : T(1) - alpha;
    const T u = sigmoid_of(-z);
    return {alpha_t * exponential(-gamma * softplus_of(z)), softplus_of(x) - x * target, u, target,
            positive > T(0) ? T(1) - u : u};
  }
  // The loss of one logit.
  FOVEA_HOST_DEVICE T value(T x, T positive) const {
    const Parts f = parts(x, positive);
    return f.weight * f.cross_entropy;
  }
  // d/dx: the modulating factor's own slope, and the cross entropy's p - target.
  FOVEA_HOST_DEVICE T derivative(T x, T positive) const {
    const Parts f = parts(x, positive);
    const T sign = positive > T(0) ? T(1) : T(-1);
    return f.weight * (f.p - f.target - gamma * sign * (T(1) - f.u) * f.cross_entropy);
  }
};

}  // namespace fovea
