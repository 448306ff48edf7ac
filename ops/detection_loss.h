#pragma once
#include "core/autograd.h"
#include "cuda/kernels/detection_loss.h"

namespace fovea {

// Focal loss (arXiv 1708.02002; the formula is in cuda/kernels/focal_loss.h) summed over anchors and classes,
// / normalizer -> scalar. gamma >= 0, label smoothing in [0, 1). logits (..., K) with A = numel / K
// anchors; targets int32 of A elements in the same order: a label 0 .. K-1, -1 background, -2 ignored.
// normalizer > 0 (EfficientDet: positives in the batch + 1) is one number, beside the logits: it changes from
// step to step, and a captured graph finds it in memory. Normalizer and loss are float32 where the logits are
// bfloat16. Where a gradient is recorded, the forward pass computes it as well, since most of the arithmetic
// is shared, and keeps it in place of the logits;
// where the loss is scaled, that rounds it twice. Throws on a target or a normalizer out of range, on the
// CPU: CUDA, which never makes the host wait, gives a NaN for such a target. Throws where the normalizer
// requires a gradient: it gets none.
Tensor focal_loss(const Tensor& logits, const Tensor& targets, const Tensor& normalizer,
                  const FocalLossOptions& options = {});
Tensor focal_loss(const Tensor& logits, const Tensor& targets, double normalizer,
                  const FocalLossOptions& options = {});

// Huber loss 0.5 q^2 + delta (|e| - q), q = min(|e|, delta), over the elements whose target is not 0, / (4
// normalizer) -> scalar (effdet's box loss). predictions and targets of one shape, last size 4. Targets,
// normalizer and loss are float32 where the predictions are bfloat16. delta > 0. Gradient: the error, cut off
// at -delta and delta, / (4 normalizer). Throws as focal_loss does, and where the targets require a gradient.
Tensor huber_loss(const Tensor& predictions, const Tensor& targets, const Tensor& normalizer,
                  double delta = 0.1);
Tensor huber_loss(const Tensor& predictions, const Tensor& targets, double normalizer, double delta = 0.1);

}  // namespace fovea
