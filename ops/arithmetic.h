#pragma once
#include "core/autograd.h"

namespace fovea {

// Elementwise a op b with NumPy's broadcasting: shapes are aligned at the last axis, and an axis of size 1
// (or missing) is repeated. Both have one floating dtype and one device. The gradients are dy and dy; dy and
// -dy; dy b and dy a; dy / b and -dy a / b^2, each summed in a fixed order over the axes along which its
// input was repeated. They throw on shapes that do not broadcast, naming both, and on two dtypes or devices.
Tensor add(const Tensor& a, const Tensor& b);
Tensor subtract(const Tensor& a, const Tensor& b);
Tensor multiply(const Tensor& a, const Tensor& b);
Tensor divide(const Tensor& a, const Tensor& b);

// The same with a number, which has no gradient and is not rounded to the tensor's dtype first. The operators
// below call these eight.
Tensor add(const Tensor& a, double b);
Tensor subtract(double a, const Tensor& b);
Tensor multiply(const Tensor& a, double b);
Tensor divide(double a, const Tensor& b);

inline Tensor operator+(const Tensor& a, const Tensor& b) { return add(a, b); }
inline Tensor operator-(const Tensor& a, const Tensor& b) { return subtract(a, b); }
inline Tensor operator*(const Tensor& a, const Tensor& b) { return multiply(a, b); }
inline Tensor operator/(const Tensor& a, const Tensor& b) { return divide(a, b); }
inline Tensor operator+(const Tensor& a, double b) { return add(a, b); }
inline Tensor operator+(double a, const Tensor& b) { return add(b, a); }
inline Tensor operator-(const Tensor& a, double b) { return add(a, -b); }
inline Tensor operator-(double a, const Tensor& b) { return subtract(a, b); }
inline Tensor operator*(const Tensor& a, double b) { return multiply(a, b); }
inline Tensor operator*(double a, const Tensor& b) { return multiply(b, a); }
inline Tensor operator/(const Tensor& a, double b) { return multiply(a, 1 / b); }
inline Tensor operator/(double a, const Tensor& b) { return divide(a, b); }
inline Tensor operator-(const Tensor& a) { return multiply(a, -1); }

// y += x means y = y + x: the handle y then refers to a new tensor. The old numbers do not change, so other
// handles and the tape keep them; if y was a leaf, it no longer is.
inline Tensor& operator+=(Tensor& a, const Tensor& b) { return a = a + b; }
inline Tensor& operator-=(Tensor& a, const Tensor& b) { return a = a - b; }
inline Tensor& operator*=(Tensor& a, const Tensor& b) { return a = a * b; }
inline Tensor& operator/=(Tensor& a, const Tensor& b) { return a = a / b; }
inline Tensor& operator+=(Tensor& a, double b) { return a = a + b; }
inline Tensor& operator-=(Tensor& a, double b) { return a = a - b; }
inline Tensor& operator*=(Tensor& a, double b) { return a = a * b; }
inline Tensor& operator/=(Tensor& a, double b) { return a = a / b; }

// Returns the shape that two shapes broadcast to; `op` names the caller in the error.
Shape broadcast_shape(const char* op, const Shape& a, const Shape& b);

// Sums x, in index order, over the axes along which a tensor of `shape` is repeated to broadcast to x's
// shape. The gradient is dy repeated. Throws if such a tensor does not broadcast to x's shape.
Tensor sum_to(const Tensor& x, const Shape& shape);

}  // namespace fovea
