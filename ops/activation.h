#pragma once
#include "core/autograd.h"
#include "cuda/kernels/activation.h"

namespace fovea {

// Elementwise on a float32, float64 or (on CUDA) bfloat16 tensor of any shape; the gradient is dy * f'(x),
// from the saved input. They throw on other dtypes.
Tensor relu(const Tensor& x);                             // max(x, 0)
Tensor relu6(const Tensor& x);                            // min(max(x, 0), 6)
Tensor sigmoid(const Tensor& x);                          // 1 / (1 + e^-x)
Tensor swish(const Tensor& x);                            // x sigmoid(x), arXiv 1710.05941
Tensor activate(const Tensor& x, Activation activation);  // one of these, or x itself

}  // namespace fovea
