#pragma once
#include "core/autograd.h"

namespace fovea {

// Returns the elements of x at `indices` along an axis, like torch.gather: y[i][j][k] =
// x[indices[i][j][k]][j][k] for axis 0, and so on. indices are int32 or int64, 0 or more and below x's size
// along the axis; they have as many axes as x, no other longer than x's. y has their shape. The gradient
// of an element is the sum of the dy it was read for, in a fixed order. Throws on shapes and dtypes that do
// not fit, and on the CPU on an index out of range; CUDA, which never makes the host wait, gives a NaN.
Tensor gather(const Tensor& x, int axis, const Tensor& indices);

// Returns a where the condition (uint8) is not 0, b elsewhere; all three broadcast as in ops/arithmetic.h.
// The gradient of a is dy where a was chosen and 0 elsewhere, summed over the axes along which a was
// repeated; b gets the rest. Throws on shapes that do not broadcast, a condition that is not uint8, two
// dtypes or devices, and dtypes that are not floating.
Tensor where(const Tensor& condition, const Tensor& a, const Tensor& b);

}  // namespace fovea
