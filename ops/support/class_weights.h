#pragma once
#include "core/autograd.h"
#include "ops/support/dispatch.h"

namespace fovea {

// Throws unless the weights are undefined (all 1), or one for each of the K classes of the logits (..., K),
// in the dtype that the loss computes in, without a gradient.
inline void check_class_weights(const char* op, const Tensor& weights, const Tensor& logits) {
  if (!weights.defined()) return;
  const DType real = accumulator_dtype(logits.dtype());
  require(weights.shape() == Shape{logits.size(-1)} && weights.dtype() == real,
          "[{}] class weights are {} of {}: logits {} need {} of {}", op, weights.dtype(), weights.shape(),
          logits.shape(), real, Shape{logits.size(-1)});
  require_no_gradient(op, "the tensor of class weights", weights);
}

// The numbers of the weights, or null. T is the dtype that the loss computes in.
template <class T>
const T* class_weights_or_null(const Tensor& weights) {
  return weights.defined() ? weights.data<T>() : nullptr;
}

}  // namespace fovea
