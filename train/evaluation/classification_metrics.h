#pragma once
#include <string>
#include <vector>

#include "core/tensor.h"
#include "train/evaluation/confusion.h"

namespace fovea {

// Figures of a classifier. `logits` (..., K), floating, may be any scores, including probabilities: the last
// axis holds one for each of K classes. `labels` int32 (...), each 0 .. K-1. For a network that labels each
// pixel they are (N, H, W, K) and (N, H, W). Both may be on any device. All throw Error if the shapes or
// dtypes do not fit, there is no label, or a label is out of range.

// Share of the labels whose class has the highest score, the first of equals.
double accuracy(const Tensor& logits, const Tensor& labels);

// Share of the labels whose class is among the k of highest score, the first of equals; k is 1 or more, from
// k = K on every label is among them. A score that is NaN is never among them: a network that has diverged
// has no accuracy.
double top_k_accuracy(const Tensor& logits, const Tensor& labels, int k);

// How often each class (row) was predicted as each class (column), the one of highest score, the first of
// equals. `class_names` are K names, or none for "0", "1", ... Also throws Error if a score is NaN.
ConfusionMatrix confusion_matrix(const Tensor& logits, const Tensor& labels,
                                 std::vector<std::string> class_names = {});

}  // namespace fovea
