#pragma once
#include "core/autograd.h"

namespace fovea {

// Each row of x, along the last axis, made to sum to 1: p_k = e^x_k / sum_j e^x_j, stable for any x. Gradient
// p_k (dy_k - sum_j p_j dy_j). Throws where x is a scalar or its last axis is empty. The loss of a classifier
// is softmax_cross_entropy, which is exact where p_k is too small for its logarithm.
Tensor softmax(const Tensor& x);

// log softmax(x), exact where p_k is too small to take its logarithm: x_k - log sum_j e^x_j. Gradient dy_k -
// p_k sum_j dy_j. Throws as softmax does.
Tensor log_softmax(const Tensor& x);

// The mean over N of -sum_k t_k log softmax(x)_k -> scalar; x (N, K), labels int32 (N) in 0 .. K-1, t one-hot
// mixed with 1/K: t = (1 - label_smoothing) onehot + label_smoothing / K. Gradient (softmax(x) - t) / N.
// The loss is float32 where x is bfloat16; smoothing in [0, 1), as in Inception-v3 (arXiv 1512.00567, section
// 7). class_weights (K), in the loss's dtype: what a row's loss is multiplied by, for its label;
// undefined: 1. The sum is divided by N, as in Keras, and not by the sum of the rows' weights, as in PyTorch:
// so the mean over accumulated batches is that over one large batch. Throws on shapes that do not fit, on no
// row, where the weights require a gradient, and on a label out of range, on the CPU: CUDA, which never makes
// the host wait, gives a NaN instead.
Tensor softmax_cross_entropy(const Tensor& x, const Tensor& labels, double label_smoothing = 0,
                             const Tensor& class_weights = {});

}  // namespace fovea
