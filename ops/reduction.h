#pragma once
#include "core/autograd.h"

namespace fovea {

// Sums and means, added in a fixed order in double (on CUDA in the numbers' own precision within a block),
// along one axis, which is removed (kept with size 1 if keep_axis), or over everything, to a scalar. The
// gradient is dy (divided by the count for means) repeated along the axis. A negative axis counts from the
// end. They throw if there is no such axis, on the mean of no numbers, and on dtypes that are not floating.
Tensor sum(const Tensor& x);
Tensor sum(const Tensor& x, int axis, bool keep_axis = false);
Tensor mean(const Tensor& x);  // of at least one element
Tensor mean(const Tensor& x, int axis, bool keep_axis = false);

// The mean over height and width: x (N, H, W, C) -> (N, C). Throws if there is no pixel.
Tensor global_average_pool(const Tensor& x);

// Returns the largest number along an axis, which is removed (kept with size 1 if keep_axis). A NaN counts as
// larger than all numbers. The gradient goes to the first of the largest. Throws if there is no such axis, if
// it is empty, and on dtypes that are not floating.
Tensor max(const Tensor& x, int axis, bool keep_axis = false);

// Returns the index of max(x, axis) along the axis, which is removed, as int64; the first of equals. It has
// no gradient: throws if x requires one, and as max does.
Tensor argmax(const Tensor& x, int axis);

}  // namespace fovea
