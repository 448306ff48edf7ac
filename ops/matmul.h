#pragma once
#include "core/autograd.h"
#include "ops/support/channel_statistics.h"

namespace fovea {

// y = x w: x (M, K), w (K, N) -> (M, N). Gradients dx = dy w^T, dw = x^T dy. Throws on sizes, dtypes and
// devices that do not fit. w stays float32 where x is bfloat16, and is rounded for the product.
Tensor matmul(const Tensor& x, const Tensor& w);

// y = x w + bias: x (..., K), w (K, N), bias (N) or undefined -> (..., N). d(bias) = the sum of dy over all
// rows. The bias is treated as w: float32 where x is bfloat16, rounded before it is added. Throws as matmul
// does.
Tensor linear(const Tensor& x, const Tensor& w, const Tensor& bias);

// The 1x1 convolution: x (N, H, W, Cin), w (Cin, Cout), bias (Cout) or undefined. In NHWC it is one matrix
// product and nothing is moved. With `statistics` the mean and variance of each output channel are gathered
// while each block of rows is still in the cache, for the batch norm that follows; on CUDA
// they stay not ready. Gradients as linear. Throws as matmul does, and where x has no four sizes.
Tensor conv1x1(const Tensor& x, const Tensor& w, const Tensor& bias = {},
               ChannelStatistics* statistics = nullptr);

}  // namespace fovea
