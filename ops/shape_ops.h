#pragma once
#include "core/autograd.h"

namespace fovea {

// The same numbers under another shape of as many elements; nothing is copied.
Tensor reshape(const Tensor& x, Shape shape);

// Tensors joined along an axis; all other sizes, the dtype and the device equal. At least one tensor.
Tensor concat(const Tensors& parts, int axis);

// Indices begin .. end-1 of an axis; 0 <= begin <= end <= size. The gradient is zero elsewhere.
Tensor slice(const Tensor& x, int axis, int64_t begin, int64_t end);

// x converted to a dtype: bfloat16 to nearest even, integers towards zero. Differentiable between floating
// dtypes.
Tensor cast(const Tensor& x, DType dtype);

}  // namespace fovea
