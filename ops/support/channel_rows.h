#pragma once
#include <cstdint>
#include <vector>

#include "core/parallel.h"

namespace fovea {

// Loops over the rows of a rows x channels matrix have inner loops over channels, which the compiler
// vectorises. With few channels (16, 24) an inner loop is too short to pay off, so several rows are treated
// as one long one: coefficients are repeated `group` times, and sums are kept for group x channels columns
// and folded at the end.
class RowGroup {
 public:
  explicit RowGroup(int64_t channels)
      : channels_(channels),
        group_(channels >= 128 ? 1
               : channels == 0 ? 1
                               : (127 + channels) / channels) {}

  int64_t width() const { return group_ * channels_; }

  // Repeats `coefficients`, one per channel, for all width() columns.
  template <class T, class U>
  std::vector<T> repeat(const U* coefficients) const {
    std::vector<T> result(static_cast<size_t>(width()));
    for (int64_t i = 0; i < width(); i += channels_)
      for (int64_t c = 0; c < channels_; ++c) result[size_t(i + c)] = T(coefficients[c]);
    return result;
  }

  // into[c] = the sum of the columns that belong to channel c
  template <class T, class U>
  void fold(const std::vector<T>& sums, U* into) const {
    for (int64_t c = 0; c < channels_; ++c) {
      U sum = 0;
      for (int64_t i = c; i < width(); i += channels_) sum += U(sums[size_t(i)]);
      into[c] = sum;
    }
  }

  // Calls f(offset, count) for each long row of a rows x channels matrix: its first element and its length.
  template <class F>
  void each(int64_t rows, F&& f) const {
    const int64_t end = rows * channels_;
    for (int64_t at = 0; at < end; at += width()) f(at, end - at < width() ? end - at : width());
  }

 private:
  int64_t channels_, group_;
};

// The number of rows in a chunk whose two or three operands stay in the second-level cache.
inline int64_t chunk_rows(int64_t channels) {
  return channels >= 32768 ? 1 : 32768 / (channels > 0 ? channels : 1);
}

// Sums over all rows of a rows x channels matrix, `Count` of them for each column: sums (Count, channels) =
// factor times what add(first, count, to) adds up for the `count` elements from `first` on of each long row,
// in to[0 .. Count - 1][0 .. count - 1]. The order is fixed: sums run in T within a chunk of rows, in float64
// over chunks.
template <int Count, class T, class Add>
void column_sums_of(int64_t rows, int64_t channels, double factor, const Add& add, T* sums) {
  const RowGroup group(channels);
  const int64_t chunk = chunk_rows(channels), chunks = chunk_count(rows, chunk);
  std::vector<double> partial(static_cast<size_t>(chunks * Count * channels));
  parallel_chunks(rows, chunk, [&](int64_t index, int64_t begin, int64_t end) {
    std::vector<T> of_chunk[Count];
    T* to[Count];
    for (int i = 0; i < Count; ++i) {
      of_chunk[i].resize(size_t(group.width()));
      to[i] = of_chunk[i].data();
    }
    group.each(end - begin, [&](int64_t at, int64_t count) { add(begin * channels + at, count, to); });
    for (int i = 0; i < Count; ++i) group.fold(of_chunk[i], partial.data() + (index * Count + i) * channels);
  });
  for (int64_t c = 0; c < Count * channels; ++c) {
    double sum = 0;
    for (int64_t index = 0; index < chunks; ++index) sum += partial[size_t(index * Count * channels + c)];
    sums[c] = T(sum * factor);
  }
}

// The same for one sum of term(i), where i is the index of an element.
template <class T, class Term>
void column_sums(int64_t rows, int64_t channels, double factor, const Term& term, T* sums) {
  const auto add = [term](int64_t first, int64_t count, T* const(&to)[1]) {
    T* const sum = to[0];
#pragma omp simd
    for (int64_t j = 0; j < count; ++j) sum[j] += term(first + j);
  };
  column_sums_of<1>(rows, channels, factor, add, sums);
}

}  // namespace fovea
