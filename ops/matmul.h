#pragma once
#include "core/autograd.h"
#include "ops/support/epilogue.h"

namespace fovea {

// y = x w: x (M, K), w (K, N) -> (M, N). Gradients dx = dy w^T, dw = x^T dy. Throws on sizes, dtypes and
// devices that do not fit. w stays float32 where x is bfloat16, and is rounded for the product.
Tensor matmul(const Tensor& x, const Tensor& w);

// y = x w + bias: x (..., K), w (K, N), bias (N) or undefined -> (..., N). d(bias) = the sum of dy over all
// rows. The bias is treated as w: float32 where x is bfloat16, rounded before it is added. Throws as matmul
// does.
Tensor linear(const Tensor& x, const Tensor& w, const Tensor& bias);

// The 1x1 convolution: x (N, H, W, Cin), or (N, P, Cin) for the levels of a pyramid; w (Cin, Cout), bias
// (Cout) or undefined. In NHWC it is one matrix product and nothing is moved. On the CPU an `epilogue` is
// called for each block of the output, which has its bias by then; on CUDA the kernel does its work where the
// product is one of cuda/kernels/gemm_tiled.h, and otherwise the batch norm that follows. Gradients as
// linear. Throws as matmul does, and where x is no such tensor.
Tensor conv1x1(const Tensor& x, const Tensor& w, const Tensor& bias = {}, Epilogue* epilogue = nullptr);

}  // namespace fovea
