#include "train/evaluation/classification_metrics.h"

#include <algorithm>
#include <cmath>
#include <span>

#include "core/error.h"
#include "ops/shape_ops.h"

namespace fovea {
namespace {

// Calls f(row, label) with the scores of each label in turn, a span of float or double, after the checks that
// all figures make.
template <class F>
void for_each_row(const char* figure, const Tensor& logits, const Tensor& labels, F&& f) {
  require(
      labels.dtype() == DType::int32 && logits.rank() >= 1 && logits.shape().without(-1) == labels.shape(),
      "[{}] the logits are {} and the labels {} {}: give int32 labels of the logits' shape without its "
      "last axis, the classes",
      figure, logits.shape(), labels.shape(), labels.dtype());
  require(labels.numel() > 0, "[{}] there is no label", figure);
  const NoGrad no_grad;
  const Tensor scores =
      (logits.dtype() == DType::bfloat16 ? cast(logits, DType::float32) : logits).to(Device::cpu);
  const Tensor truths = labels.to(Device::cpu);
  const auto classes = size_t(scores.size(-1));
  with_float_dtype(scores.dtype(), figure, [&]<class T>() {
    std::span<const T> rest = scores.span<T>();
    for (const int32_t label : truths.span<int32_t>()) {
      require(label >= 0 && size_t(label) < classes,
              "[{}] a label is {}, but the logits have {} classes: labels are indices from 0", figure, label,
              classes);
      f(rest.first(classes), size_t(label));
      rest = rest.subspan(classes);
    }
  });
}

}  // namespace

double accuracy(const Tensor& logits, const Tensor& labels) { return top_k_accuracy(logits, labels, 1); }

double top_k_accuracy(const Tensor& logits, const Tensor& labels, int k) {
  require(k >= 1, "[top_k_accuracy] k is {}: give 1 or more", k);
  int64_t right = 0;
  for_each_row("top_k_accuracy", logits, labels, [&](auto row, size_t label) {
    // Negated comparisons: every score compared with a NaN counts as higher.
    int64_t ahead = 0;
    for (size_t c = 0; c < row.size(); ++c)
      ahead += c < label ? !(row[c] < row[label]) : c > label && !(row[c] <= row[label]);
    right += ahead < k;
  });
  return double(right) / double(labels.numel());
}

ConfusionMatrix confusion_matrix(const Tensor& logits, const Tensor& labels,
                                 std::vector<std::string> class_names) {
  std::vector<int> truths, found;
  for_each_row("confusion_matrix", logits, labels, [&](auto row, size_t label) {
    require(std::none_of(row.begin(), row.end(), [](auto score) { return std::isnan(score); }),
            "[confusion_matrix] the scores of label {} (counted from 0) hold a NaN", truths.size());
    truths.push_back(int(label));
    found.push_back(int(std::max_element(row.begin(), row.end()) - row.begin()));
  });
  const auto classes = size_t(logits.size(-1));
  if (class_names.empty())
    for (size_t c = 0; c < classes; ++c) class_names.push_back(std::to_string(c));
  require(class_names.size() == classes,
          "[confusion_matrix] there are {} names, but the logits have {} classes", class_names.size(),
          classes);
  return confusion_matrix(class_names, truths, found);
}

}  // namespace fovea
