#pragma once
#include "core/autograd.h"
#include "cuda/kernels/focal_loss.h"

namespace fovea {

// Special values of a class target.
inline constexpr int32_t background_target = -1;
inline constexpr int32_t ignored_target = -2;

// Focal loss summed over anchors and classes, / normalizer -> scalar. logits (..., K) with A = numel / K
// anchors; targets int32 of A elements in the same order: a label 0 .. K-1, -1 background, -2 ignored.
// normalizer > 0 (EfficientDet: positives in the batch + 1). Backward reads the logits again rather than a
// stored gradient: one pass over memory less. Throws on a target out of range.
Tensor focal_loss(const Tensor& logits, const Tensor& targets, double normalizer,
                  const FocalLossOptions& options = {});

// Huber loss 0.5 q^2 + delta (|e| - q), q = min(|e|, delta), over the elements whose target is not 0, / (4
// normalizer) -> scalar (effdet's box loss). predictions and targets of one shape, last size 4; no gradient
// for targets.
Tensor huber_loss(const Tensor& predictions, const Tensor& targets, double normalizer, double delta = 0.1);

}  // namespace fovea
