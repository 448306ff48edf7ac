#pragma once
#include "core/autograd.h"

namespace fovea {

// The same numbers under another shape of as many elements; nothing is copied. Throws on another count.
Tensor reshape(const Tensor& x, Shape shape);

// Tensors joined along an axis; all other sizes, the dtype and the device equal, or it throws. At least one
// tensor. The gradient is cut the same way.
Tensor concat(const Tensors& parts, int axis);

// Indices begin .. end-1 of an axis; 0 <= begin <= end <= size. The gradient is zero elsewhere. Throws on
// other indices.
Tensor slice(const Tensor& x, int axis, int64_t begin, int64_t end);

// x with two axes exchanged, of any dtype, as a dense copy: y[..., j, ..., i, ...] = x[..., i, ..., j, ...].
// The gradient is exchanged back. Throws where there is no such axis.
Tensor transpose(const Tensor& x, int a, int b);

// x converted to a dtype: bfloat16 to nearest even, integers towards zero. Differentiable between floating
// dtypes; throws where an x that requires a gradient is converted to integers.
Tensor cast(const Tensor& x, DType dtype);

}  // namespace fovea
