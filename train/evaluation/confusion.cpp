#include "train/evaluation/confusion.h"

#include <algorithm>
#include <numeric>

#include "core/error.h"

namespace fovea {

ConfusionMatrix::ConfusionMatrix(std::vector<std::string> row_names, std::vector<std::string> column_names)
    : rows(std::move(row_names)), columns(std::move(column_names)), counts(rows.size() * columns.size()) {}

int64_t ConfusionMatrix::row_sum(size_t row) const {
  const auto first = counts.begin() + long(row * columns.size());
  return std::accumulate(first, first + long(columns.size()), int64_t(0));
}

std::vector<Confusion> frequent_confusions(const ConfusionMatrix& matrix, size_t most) {
  std::vector<Confusion> cells;
  for (size_t row = 0; row < matrix.rows.size(); ++row)
    for (size_t column = 0; column < matrix.columns.size(); ++column)
      if (row != column && matrix.at(row, column) > 0) cells.push_back({row, column, matrix.at(row, column)});
  std::stable_sort(cells.begin(), cells.end(),
                   [](const Confusion& a, const Confusion& b) { return a.count > b.count; });
  cells.resize(std::min(cells.size(), most));
  return cells;
}

ConfusionMatrix confusion_matrix(const std::vector<std::string>& class_names, std::span<const int> truths,
                                 std::span<const int> found) {
  require(truths.size() == found.size(),
          "[confusion_matrix] there are {} truths and {} answers: give one answer for each", truths.size(),
          found.size());
  ConfusionMatrix matrix(class_names, class_names);
  for (size_t i = 0; i < truths.size(); ++i) {
    for (const int label : {truths[i], found[i]})
      require(label >= 0 && size_t(label) < class_names.size(),
              "[confusion_matrix] entry {} has label {}, but there are {} classes: labels count them from 0",
              i, label, class_names.size());
    ++matrix.at(size_t(truths[i]), size_t(found[i]));
  }
  return matrix;
}

}  // namespace fovea
