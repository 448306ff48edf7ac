#pragma once
#include <fmt/format.h>

#include <cstdint>
#include <iosfwd>
#include <span>
#include <string>
#include <vector>

namespace fovea {

// How often the class of a row was predicted as the class of a column. The classes are the first rows and
// columns, in the same order, so that the diagonal counts what was right.
struct ConfusionMatrix {
  std::vector<std::string> rows, columns;  // names of the true and of the predicted classes
  std::vector<int64_t> counts;             // rows x columns

  ConfusionMatrix() = default;
  ConfusionMatrix(std::vector<std::string> rows, std::vector<std::string> columns);  // all counts 0
  int64_t& at(size_t row, size_t column) { return counts[row * columns.size() + column]; }
  int64_t at(size_t row, size_t column) const { return counts[row * columns.size() + column]; }
  int64_t row_sum(size_t row) const;  // of its counts
  // Adds the counts of another batch. An empty matrix takes the other's classes; otherwise throws Error if
  // these differ.
  ConfusionMatrix& operator+=(const ConfusionMatrix& other);
};

// One cell off the diagonal.
struct Confusion {
  size_t row, column;
  int64_t count;
};

// The cells off the diagonal that are not 0, the largest first, equals in the order of rows and columns; at
// most `most` of them.
std::vector<Confusion> frequent_confusions(const ConfusionMatrix& matrix, size_t most);

// The matrix of a classifier of whole images: image i has the class truths[i] and was predicted as found[i].
// Throws Error if the two differ in length or a label has no class.
ConfusionMatrix confusion_matrix(const std::vector<std::string>& class_names, std::span<const int> truths,
                                 std::span<const int> found);

// The matrix as a table with its names, a line for each row:
//
//   truth \ found  cat  dog
//   cat             12    1
//   dog              0    9
std::string to_string(const ConfusionMatrix& matrix);

// The same, for streams and, below, for fmt: fmt::print("{}\n", matrix).
std::ostream& operator<<(std::ostream& stream, const ConfusionMatrix& matrix);

}  // namespace fovea

template <>
struct fmt::formatter<fovea::ConfusionMatrix> : fmt::formatter<std::string> {
  template <class Context>
  auto format(const fovea::ConfusionMatrix& matrix, Context& context) const {
    return fmt::formatter<std::string>::format(fovea::to_string(matrix), context);
  }
};
