#pragma once
#include <cstdint>

#include "cuda/device/bfloat16.h"

namespace fovea {

// x as outer x count x inner, reduced over `count`.
struct ReductionDims {
  int64_t outer = 1, count = 1, inner = 1;
};

namespace cuda {

// T: float, double, bfloat16. Sums run in Accumulator<T>, in a fixed order: a tree in
// each block, then one over the blocks.

// y (outer, inner) = factor * sum over count of x (outer, count, inner); sums of nothing are 0.
template <class T>
void reduce(const T* x, T* y, double factor, const ReductionDims& dims);
// Its gradient: dx (outer, count, inner) = factor * dy (outer, inner), repeated along count.
template <class T>
void repeat(const T* dy, T* dx, double factor, const ReductionDims& dims);
// sums (columns) of x (rows x columns): the gradient of a bias.
template <class T>
void column_sums(const T* x, Accumulator<T>* sums, int64_t rows, int64_t columns);

// Only the second stage: y (outer, inner) = sums of partial (outer, count, inner), which blocks have left
// behind.
template <class T>
void add_partials(const Accumulator<T>* partial, T* y, const ReductionDims& dims);

}  // namespace cuda
}  // namespace fovea
