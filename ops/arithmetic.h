#pragma once
#include "core/autograd.h"

namespace fovea {

// Elementwise a op b with NumPy's broadcasting: shapes are aligned at the last axis, and an axis of size 1
// (or missing) is repeated. One floating dtype, one device. Gradients: dy and dy; dy and -dy; dy b and dy a;
// dy / b and -dy a / b^2, each summed back, in a fixed order, over the axes along which its input was
// repeated. Throws on shapes that do not broadcast, with both shapes, on two dtypes and on two devices.
Tensor add(const Tensor& a, const Tensor& b);
Tensor subtract(const Tensor& a, const Tensor& b);
Tensor multiply(const Tensor& a, const Tensor& b);
Tensor divide(const Tensor& a, const Tensor& b);

// The same with a number, which has no gradient and is not rounded to the tensor's dtype first. The operators
// below are these eight.
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

// y += x is y = y + x: the handle y names a new tensor from then on. The numbers that it named before are not
// changed, so other handles and the tape keep them; a leaf whose handle is rebound is no longer y.
inline Tensor& operator+=(Tensor& a, const Tensor& b) { return a = a + b; }
inline Tensor& operator-=(Tensor& a, const Tensor& b) { return a = a - b; }
inline Tensor& operator*=(Tensor& a, const Tensor& b) { return a = a * b; }
inline Tensor& operator/=(Tensor& a, const Tensor& b) { return a = a / b; }
inline Tensor& operator+=(Tensor& a, double b) { return a = a + b; }
inline Tensor& operator-=(Tensor& a, double b) { return a = a - b; }
inline Tensor& operator*=(Tensor& a, double b) { return a = a * b; }
inline Tensor& operator/=(Tensor& a, double b) { return a = a / b; }

// The shape two shapes broadcast to; `op` names the caller in the error.
Shape broadcast_shape(const char* op, const Shape& a, const Shape& b);

// x summed, in index order, over the axes along which a tensor of `shape` would be repeated to broadcast to
// x's. The gradient is dy repeated. Throws where such a tensor would not broadcast to x's shape.
Tensor sum_to(const Tensor& x, const Shape& shape);

}  // namespace fovea
