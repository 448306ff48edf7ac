#include "train/evaluation/confusion.h"

#include <algorithm>
#include <numeric>
#include <ostream>

#include "core/error.h"

namespace fovea {

ConfusionMatrix::ConfusionMatrix(std::vector<std::string> row_names, std::vector<std::string> column_names)
    : rows(std::move(row_names)), columns(std::move(column_names)), counts(rows.size() * columns.size()) {}

int64_t ConfusionMatrix::row_sum(size_t row) const {
  const auto first = counts.begin() + long(row * columns.size());
  return std::accumulate(first, first + long(columns.size()), int64_t(0));
}

ConfusionMatrix& ConfusionMatrix::operator+=(const ConfusionMatrix& other) {
  if (counts.empty()) return *this = other;
  require(rows == other.rows && columns == other.columns,
          "[ConfusionMatrix] counts of the classes {} cannot be added to those of {}",
          fmt::join(other.rows, ", "), fmt::join(rows, ", "));
  for (size_t i = 0; i < counts.size(); ++i) counts[i] += other.counts[i];
  return *this;
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
          "[confusion_matrix] there are {} truths and {} predictions: give one prediction for each",
          truths.size(), found.size());
  ConfusionMatrix matrix(class_names, class_names);
  for (size_t i = 0; i < truths.size(); ++i) {
    for (const int label : {truths[i], found[i]})
      require(label >= 0 && size_t(label) < class_names.size(),
              "[confusion_matrix] entry {} has label {}, but there are {} classes: labels are indices from 0",
              i, label, class_names.size());
    ++matrix.at(size_t(truths[i]), size_t(found[i]));
  }
  return matrix;
}

std::string to_string(const ConfusionMatrix& matrix) {
  // Characters, not bytes, as fmt counts them where it pads.
  const auto width = [](const std::string& text) {
    return size_t(std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; }));
  };
  const std::string corner = "truth \\ found";
  size_t first = width(corner);
  for (const std::string& row : matrix.rows) first = std::max(first, width(row));
  std::string text = fmt::format("{:<{}}", corner, first);
  std::vector<size_t> widths;
  for (size_t column = 0; column < matrix.columns.size(); ++column) {
    widths.push_back(width(matrix.columns[column]));
    for (size_t row = 0; row < matrix.rows.size(); ++row)
      widths.back() = std::max(widths.back(), std::to_string(matrix.at(row, column)).size());
    text += fmt::format("  {:>{}}", matrix.columns[column], widths.back());
  }
  for (size_t row = 0; row < matrix.rows.size(); ++row) {
    text += fmt::format("\n{:<{}}", matrix.rows[row], first);
    for (size_t column = 0; column < matrix.columns.size(); ++column)
      text += fmt::format("  {:>{}}", matrix.at(row, column), widths[column]);
  }
  return text;
}

std::ostream& operator<<(std::ostream& stream, const ConfusionMatrix& matrix) {
  return stream << to_string(matrix);
}

}  // namespace fovea
