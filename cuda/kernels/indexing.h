#pragma once
#include <cstdint>

#include "cuda/device/bfloat16.h"
#include "cuda/platform.h"

namespace fovea {

// Where gather() reads: element `at` of y comes from the same place in x, except that indices[at] is the
// coordinate along `axis`. y and indices have `sizes`, none larger than that of x, except along the axis.
struct GatherDims {
  static constexpr int max_rank = 6;
  int rank = 0, axis = 0;
  int64_t sizes[max_rank] = {}, x_sizes[max_rank] = {};
  int64_t n = 1, count = 1, stride = 1;        // of y: elements, and along the axis the size and the stride
  int64_t x_n = 1, x_count = 1, x_stride = 1;  // the same of x

  // Both loops run over the maximum number of axes: unrolled, they read a kernel's arguments in place,
  // without a copy to index into.

  // The start in x of the line along the axis from which element `at` of y is read.
  HD int64_t line(int64_t at) const {
    int64_t place = 0, step = 1;
    for (int i = max_rank - 1; i >= 0; --i) {
      if (i >= rank) continue;
      if (i != axis) place += at % sizes[i] * step;
      at /= sizes[i];
      step *= x_sizes[i];
    }
    return place;
  }
  // For element `at` of x: the start in y of the line that reads from its line, or -1 if none does; and its
  // own coordinate along the axis.
  HD int64_t reader(int64_t at, int64_t* coordinate) const {
    int64_t place = 0, step = 1;
    bool read = true;
    for (int i = max_rank - 1; i >= 0; --i) {
      if (i >= rank) continue;
      const int64_t index = at % x_sizes[i];
      if (i == axis) *coordinate = index;
      if (i != axis) read = read && index < sizes[i];
      if (i != axis) place += index * step;
      at /= x_sizes[i];
      step *= sizes[i];
    }
    return read ? place : -1;
  }
};

// The three operands of where(): the sizes of the result, and the strides of condition, a and b, 0 along axes
// where one is repeated.
struct WhereDims {
  static constexpr int max_rank = 6;
  int rank = 0;
  int64_t numel = 1;
  int64_t sizes[max_rank] = {};
  int64_t strides[3][max_rank] = {};

  // The place of element i of the result in each operand.
  struct Place {
    int64_t condition, a, b;
  };
  HD Place place(int64_t i) const {
    Place at{0, 0, 0};
    for (int axis = rank - 1; axis >= 0; --axis) {
      // The outermost index needs no division.
      const int64_t outer = axis ? i / sizes[axis] : 0, index = i - outer * sizes[axis];
      at.condition += index * strides[0][axis];
      at.a += index * strides[1][axis];
      at.b += index * strides[2][axis];
      i = outer;
    }
    return at;
  }
};

namespace cuda {

// T: float, double, bfloat16; Index: int32_t, int64_t.

// y = x at the places given by the indices; NaN for an index out of range.
template <class T, class Index>
void gather(const T* x, const Index* indices, T* y, const GatherDims& dims);
// dx = the sum of the dy that each element of x was read for, in their order along the axis; NaN in a line
// with an index out of range.
template <class T, class Index>
void gather_backward(const T* dy, const Index* indices, T* dx, const GatherDims& dims);

// y = a where the condition is not 0, b elsewhere.
template <class T>
void where(const uint8_t* condition, const T* a, const T* b, T* y, const WhereDims& dims);

}  // namespace cuda
}  // namespace fovea
