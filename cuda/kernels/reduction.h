#pragma once
#include <cstdint>

#include "cuda/device/bfloat16.h"
#include "cuda/platform.h"

namespace fovea {

// x as outer x count x inner, reduced over `count`.
struct ReductionDims {
  int64_t outer = 1, count = 1, inner = 1;
};

// A number of a line, and its place in it.
template <class T>
struct Candidate {
  T value;
  int64_t index;

  // Whether this candidate beats the other: the larger one, the first of equals, a NaN before numbers.
  HD bool beats(const Candidate& other) const {
    const bool nan = value != value, other_nan = other.value != other.value;
    if (nan != other_nan) return nan;
    if (!nan && value != other.value) return value > other.value;
    return index < other.index;
  }
};

namespace cuda {

// T: float, double, bfloat16. Sums run in Accumulator<T>, in a fixed order: a tree in
// each block, then one over the blocks.

// y (outer, inner) = factor * sum over count of x (outer, count, inner); empty sums are 0.
template <class T>
void reduce(const T* x, T* y, double factor, const ReductionDims& dims);
// Its gradient: dx (outer, count, inner) = factor * dy (outer, inner), repeated along count.
template <class T>
void repeat(const T* dy, T* dx, double factor, const ReductionDims& dims);
// sums (columns) of x (rows x columns): the gradient of a bias.
template <class T>
void column_sums(const T* x, Accumulator<T>* sums, int64_t rows, int64_t columns);

// Only the second stage: y (outer, inner) = sums of partial (outer, count, inner), which other blocks have
// written.
template <class T>
void add_partials(const Accumulator<T>* partial, T* y, const ReductionDims& dims);

// The maximum over `count` (1 or more) of x (outer, count, inner), in Candidate's order: its place goes to
// index (outer, inner), and its value to y (outer, inner) unless y is null.
template <class T>
void max(const T* x, T* y, int64_t* index, const ReductionDims& dims);
// Its gradient: dx (outer, count, inner) = dy (outer, inner) at the place in index, 0 elsewhere.
template <class T>
void max_backward(const T* dy, const int64_t* index, T* dx, const ReductionDims& dims);

}  // namespace cuda
}  // namespace fovea
