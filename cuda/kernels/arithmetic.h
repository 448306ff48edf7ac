#pragma once
#include <cstdint>

#include "cuda/device/bfloat16.h"
#include "cuda/kernels/broadcast.h"
#include "cuda/platform.h"

namespace fovea {

// The four operations, written once for CPU and GPU.
struct Add {
  template <class T>
  HD static T of(T a, T b) {
    return a + b;
  }
};
struct Subtract {
  template <class T>
  HD static T of(T a, T b) {
    return a - b;
  }
};
struct Multiply {
  template <class T>
  HD static T of(T a, T b) {
    return a * b;
  }
};
struct Divide {
  template <class T>
  HD static T of(T a, T b) {
    return a / b;
  }
};

namespace cuda {

// y = Op::of(a, b) for the n elements of the result, with a and b repeated according to d; `same`: neither is
// repeated. Op: Add, Subtract, Multiply, Divide; T: float, double, bfloat16.
template <class Op, class T>
void binary(const T* a, const T* b, T* y, const BroadcastDims& d, int64_t n, bool same);

// y = x factor + term
template <class T>
void affine(const T* x, Accumulator<T> factor, Accumulator<T> term, T* y, int64_t n);

// y = numerator / x
template <class T>
void quotient(Accumulator<T> numerator, const T* x, T* y, int64_t n);

// Each of the `outputs` elements of y becomes the sum of the elements of x (n, laid out by d.b_strides) that
// it was repeated to; d.a_strides map an index of x to y.
template <class T>
void sum_to(const T* x, T* y, const BroadcastDims& d, int64_t n, int64_t outputs);

}  // namespace cuda
}  // namespace fovea
