#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace fovea {

// How often what is in a row was taken for what is in a column. The classes are the first rows and columns,
// in the same order, so that the diagonal is what was right.
struct ConfusionMatrix {
  std::vector<std::string> rows, columns;  // names: of the truths, of what they were taken for
  std::vector<int64_t> counts;             // rows x columns

  ConfusionMatrix() = default;
  ConfusionMatrix(std::vector<std::string> rows, std::vector<std::string> columns);  // all counts 0
  int64_t& at(size_t row, size_t column) { return counts[row * columns.size() + column]; }
  int64_t at(size_t row, size_t column) const { return counts[row * columns.size() + column]; }
  int64_t row_sum(size_t row) const;  // of its counts
};

// One cell beside the diagonal.
struct Confusion {
  size_t row, column;
  int64_t count;
};

// The cells beside the diagonal that are not 0, the largest first, equals in the order of rows and columns;
// at most so many.
std::vector<Confusion> frequent_confusions(const ConfusionMatrix& matrix, size_t most);

// Of whole images: truths[i] was taken for found[i]. Throws Error where the two are not of one length or a
// label has no class.
ConfusionMatrix confusion_matrix(const std::vector<std::string>& class_names, std::span<const int> truths,
                                 std::span<const int> found);

}  // namespace fovea
