#pragma once
#include "core/autograd.h"

namespace fovea {

// Normalises each row of x, along the last axis, to sum to 1: p_k = e^x_k / sum_j e^x_j, stable for any x.
// The gradient is p_k (dy_k - sum_j p_j dy_j). Throws if x is a scalar or its last axis is empty. A
// classifier's loss is softmax_cross_entropy, which is exact where p_k is too small for its logarithm.
Tensor softmax(const Tensor& x);

// log softmax(x), exact where p_k is too small to take its logarithm: x_k - log sum_j e^x_j. The gradient is
// dy_k - p_k sum_j dy_j. Throws as softmax does.
Tensor log_softmax(const Tensor& x);

// The mean over N of -sum_k t_k log softmax(x)_k -> scalar, for x (N, K) and int32 labels (N) in 0 .. K-1. t
// is one-hot mixed with 1/K: t = (1 - label_smoothing) onehot + label_smoothing / K, with smoothing in [0,
// 1), as in Inception-v3 (arXiv 1512.00567, section 7). The gradient is (softmax(x) - t) / N. The loss is
// float32 where x is bfloat16. class_weights (K), in the loss's dtype, multiply each row's loss by the weight
// of its label; undefined: 1. The sum is divided by N, as in Keras, and not by the sum of the rows' weights,
// as in PyTorch, so that the mean over accumulated batches is that over one large batch. Throws on shapes
// that do not fit, on no rows, if the weights require a gradient, and on the CPU on a label out of range;
// CUDA, which never makes the host wait, gives a NaN.
Tensor softmax_cross_entropy(const Tensor& x, const Tensor& labels, double label_smoothing = 0,
                             const Tensor& class_weights = {});

}  // namespace fovea
