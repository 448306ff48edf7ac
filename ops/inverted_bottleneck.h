#pragma once
#include <optional>

#include "ops/batch_norm.h"
#include "ops/depthwise_conv2d.h"

namespace fovea {

// The layers of a mobile inverted bottleneck with squeeze and excite (arXiv 1905.11946) in evaluation.
struct InvertedBottleneck {
  Tensor w_expand;  // (Cin, C), and its norm; both are left out where x has C channels already
  std::optional<EvaluationNorm> expand_norm;
  Tensor w_depthwise;  // (k, k, C)
  Window window;
  EvaluationNorm depthwise_norm;
  Tensor w_reduce, b_reduce, w_excite, b_excite;  // as squeeze_excite() takes them
  Tensor w_project;                               // (C, Cout)
  EvaluationNorm project_norm;
  bool shortcut = false;  // whether x is added to the result
};

// Computes the block in two passes over the widened image, on the CPU, where no gradient is recorded
// (EvaluationNorm::takes): x (N, H, W, Cin) -> (N, H', W', Cout). Layer by layer, memory would take most of
// the time, because the image is widened sixfold. Here a few of its rows, of some of its channels, are made,
// convolved and discarded in the second-level cache, and squeeze and excite scales rows as the projection
// reads them. Within rounding it is conv1x1, depthwise_conv2d, squeeze_excite and conv1x1, with a batch_norm
// after each convolution. Throws if x has another number of channels or requires a gradient.
Tensor inverted_bottleneck(const Tensor& x, const InvertedBottleneck& layers);

}  // namespace fovea
