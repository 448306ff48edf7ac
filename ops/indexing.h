#pragma once
#include "core/autograd.h"

namespace fovea {

// The elements of x at `indices` along an axis, torch.gather's: y[i][j][k] = x[indices[i][j][k]][j][k] for
// axis 0, and so on. indices are int32 or int64, 0 or more and below x's size along the axis; they have as
// many axes as x, along the others none longer than x's. y has their shape. The gradient of an element is the
// sum of the dy it was read for, in a fixed order. Throws on shapes and dtypes that do not fit, and on an
// index out of range, on the CPU: CUDA, which never makes the host wait, gives a NaN instead.
Tensor gather(const Tensor& x, int axis, const Tensor& indices);

// a where the condition (uint8) is not 0, b elsewhere; all three broadcast as in ops/arithmetic.h. The
// gradient of a is dy where it was chosen and 0 elsewhere, summed back over the axes along which it was
// repeated; b's is the rest. Throws on shapes that do not broadcast, on another condition, on two dtypes or
// devices, and on dtypes that are not floating.
Tensor where(const Tensor& condition, const Tensor& a, const Tensor& b);

}  // namespace fovea
