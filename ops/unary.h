#pragma once
#include "core/autograd.h"

namespace fovea {

// Elementwise on a float32, float64 or (on CUDA) bfloat16 tensor of any shape; the gradient is dy f'(x), from
// the saved input. Outside a function's domain they return what <cmath> does: infinities and NaN. They throw
// on other dtypes.
Tensor exp(const Tensor& x);   // e^x
Tensor log(const Tensor& x);   // the natural logarithm; -infinity at 0
Tensor sqrt(const Tensor& x);  // the gradient at 0 is infinite
Tensor tanh(const Tensor& x);  // (e^x - e^-x) / (e^x + e^-x)

}  // namespace fovea
