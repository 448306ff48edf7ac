#pragma once
#include "core/autograd.h"
#include "ops/support/epilogue.h"

namespace fovea {

// y = x w: x (M, K), w (K, N) -> (M, N). The gradients are dx = dy w^T and dw = x^T dy. Throws on sizes,
// dtypes and devices that do not fit. w stays float32 where x is bfloat16, and is rounded for the product.
Tensor matmul(const Tensor& x, const Tensor& w);

// y = x w + bias: x (..., K), w (K, N), bias (N) or undefined -> (..., N). d(bias) is the sum of dy over all
// rows. The bias is treated like w: float32 where x is bfloat16, rounded before it is added. Throws as matmul
// does.
Tensor linear(const Tensor& x, const Tensor& w, const Tensor& bias);

// The 1x1 convolution: x (N, H, W, Cin), or (N, P, Cin) for the levels of a pyramid; w (Cin, Cout), bias
// (Cout) or undefined. In NHWC it is one matrix product and moves no data. On the CPU it calls `epilogue` for
// each block of the output, bias included; on CUDA the kernel applies it if the product is one of
// cuda/kernels/gemm_tiled.h, and otherwise the batch norm that follows does the work. Gradients as for
// linear. Throws as matmul does, and if x has another rank.
Tensor conv1x1(const Tensor& x, const Tensor& w, const Tensor& bias = {}, Epilogue* epilogue = nullptr);

}  // namespace fovea
