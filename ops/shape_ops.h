#pragma once
#include "core/autograd.h"

namespace fovea {

// Returns the same numbers under another shape with as many elements, uncopied. Throws on another count.
Tensor reshape(const Tensor& x, Shape shape);

// Joins one or more tensors along an axis. Throws unless all other sizes, the dtype and the device are equal.
// The gradient is split the same way.
Tensor concat(const Tensors& parts, int axis);

// Returns indices begin .. end-1 of an axis; 0 <= begin <= end <= size. The gradient is zero elsewhere.
// Throws on other indices.
Tensor slice(const Tensor& x, int axis, int64_t begin, int64_t end);

// Returns x with two axes exchanged, of any dtype, as a dense copy: y[..., j, ..., i, ...] = x[..., i, ...,
// j, ...]. The gradient is exchanged back. Throws if there is no such axis.
Tensor transpose(const Tensor& x, int a, int b);

// Converts x to a dtype: bfloat16 to nearest even, integers towards zero. Differentiable between floating
// dtypes; throws if an x that requires a gradient is converted to integers.
Tensor cast(const Tensor& x, DType dtype);

}  // namespace fovea
