#pragma once
#include "core/autograd.h"
#include "cuda/kernels/detection_loss.h"

namespace fovea {

// Focal loss (arXiv 1708.02002; the formula is in cuda/kernels/focal_loss.h) summed over anchors and classes,
// / normalizer -> scalar. gamma >= 0, label smoothing in [0, 1). logits (..., K) hold A = numel / K anchors;
// targets are int32, one per anchor in the same order: a label 0 .. K-1, -1 background, -2 ignored.
// normalizer > 0 (EfficientDet: positives in the batch + 1) is one number on the logits' device: it changes
// from step to step, and a captured graph reads it from memory. Normalizer and loss are float32 where the
// logits are bfloat16. Where a gradient is recorded, the forward pass also computes it, since most of the
// arithmetic is shared, and keeps it in place of the logits; if the loss is scaled, that rounds it twice.
// class_weights (K), in the loss's dtype, multiply the losses of each class's logits, positives and
// negatives; undefined: 1. Throws if the normalizer or the weights require a gradient, which they would not
// get, and on the CPU on a target or a normalizer out of range; CUDA, which never makes the host wait, gives
// a NaN for such a target.
Tensor focal_loss(const Tensor& logits, const Tensor& targets, const Tensor& normalizer,
                  const FocalLossOptions& options = {}, const Tensor& class_weights = {});
Tensor focal_loss(const Tensor& logits, const Tensor& targets, double normalizer,
                  const FocalLossOptions& options = {}, const Tensor& class_weights = {});

// Huber loss 0.5 q^2 + delta (|e| - q), q = min(|e|, delta), over the elements whose target is not 0, / (4
// normalizer) -> scalar (effdet's box loss). predictions and targets have one shape, last size 4. Targets,
// normalizer and loss are float32 where the predictions are bfloat16. delta > 0. Gradient: the error, clipped
// to -delta .. delta, / (4 normalizer). Throws as focal_loss does, and if targets require a gradient.
Tensor huber_loss(const Tensor& predictions, const Tensor& targets, const Tensor& normalizer,
                  double delta = 0.1);
Tensor huber_loss(const Tensor& predictions, const Tensor& targets, double normalizer, double delta = 0.1);

// An IoU loss (IouLossKind; the formulas are in cuda/kernels/iou_loss.h) summed over the boxes of anchors
// with an object, / normalizer -> scalar. predictions (..., 4) and targets, of one shape, are box codes (ty,
// tx, th, tw), as encode() of models/box_coder.h writes them; both are decoded. labels are int32, one per
// box, 0 or more where its anchor has an object; the other boxes do not count. anchors (A, 4) are ymin, xmin,
// ymax, xmax in pixels, repeated for each image. Targets, anchors, normalizer and loss are float32 where the
// predictions are bfloat16. The gradient of the predictions goes through the decoding, with the alpha of CIoU
// held constant as in the paper. It is finite for boxes that are equal, disjoint or without an area. Throws
// on shapes and dtypes that do not fit, on the normalizer as focal_loss does, and if an input other than the
// predictions requires a gradient.
Tensor iou_loss(const Tensor& predictions, const Tensor& targets, const Tensor& labels, const Tensor& anchors,
                const Tensor& normalizer, IouLossKind kind);
Tensor iou_loss(const Tensor& predictions, const Tensor& targets, const Tensor& labels, const Tensor& anchors,
                double normalizer, IouLossKind kind);

}  // namespace fovea
