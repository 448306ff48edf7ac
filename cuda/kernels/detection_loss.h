#pragma once
#include <cstdint>

#include "cuda/device/bfloat16.h"
#include "cuda/device/host_device.h"
#include "cuda/kernels/focal_loss.h"
#include "cuda/kernels/iou_loss.h"

namespace fovea {

// Special values of a class target.
inline constexpr int32_t background_target = -1;
inline constexpr int32_t ignored_target = -2;

// Huber loss of one number: 0.5 q^2 + delta (|e| - q), q = min(|e|, delta); targets of 0 do not count.
template <class T>
struct HuberLoss {
  T delta;

  // The loss of one number.
  FOVEA_HOST_DEVICE T value(T prediction, T target) const {
    const T e = prediction - target, size = e < T(0) ? -e : e, q = size < delta ? size : delta;
    return target != T(0) ? T(0.5) * q * q + delta * (size - q) : T(0);
  }
  FOVEA_HOST_DEVICE T derivative(T prediction, T target) const {  // d/d prediction
    const T e = prediction - target, clipped = e > delta ? delta : (e < -delta ? -delta : e);
    return target != T(0) ? clipped : T(0);
  }
};

namespace cuda {

// T: float, double, bfloat16. `loss`, `normalizer` and `dy`, the gradient of the loss, are each one number in
// device memory.

// x (anchors, classes), targets (anchors): *loss = sum of focal losses / *normalizer and, unless dx is null,
// its gradient, dx (anchors, classes). NaN if a target is neither a label nor special. class_weights
// (classes), or null for 1, multiply the losses of each class's logits.
template <class T>
void focal_loss(const T* x, const int32_t* targets, const Accumulator<T>* class_weights, Accumulator<T>* loss,
                T* dx, const FocalLoss<Accumulator<T>>& focal, const Accumulator<T>* normalizer,
                int64_t anchors, int64_t classes);
// dx (n) *= *factor, at no cost if that is 1
template <class T>
void scale_gradient(T* dx, const Accumulator<T>* factor, int64_t n);

// *loss = sum over the n predictions p and their targets t / (4 *normalizer)
template <class T>
void huber_loss(const T* p, const Accumulator<T>* t, Accumulator<T>* loss,
                const HuberLoss<Accumulator<T>>& huber, const Accumulator<T>* normalizer, int64_t n);
template <class T>
void huber_loss_backward(const T* p, const Accumulator<T>* t, const Accumulator<T>* dy, T* dp,
                         const HuberLoss<Accumulator<T>>& huber, const Accumulator<T>* normalizer, int64_t n);

// *loss = sum over the boxes whose anchor has an object / *normalizer
template <class T>
void iou_loss(const MatchedBoxes<T>& boxes, Accumulator<T>* loss, const IouLoss<Accumulator<T>>& iou,
              const Accumulator<T>* normalizer);
// dp (n, 4): 0 where the anchor has no object
template <class T>
void iou_loss_backward(const MatchedBoxes<T>& boxes, const Accumulator<T>* dy, T* dp,
                       const IouLoss<Accumulator<T>>& iou, const Accumulator<T>* normalizer);

}  // namespace cuda
}  // namespace fovea
