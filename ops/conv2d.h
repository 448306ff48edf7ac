#pragma once
#include "core/autograd.h"
#include "cuda/kernels/window.h"
#include "ops/support/channel_statistics.h"

namespace fovea {

// Dense k x k convolution: y[n,i,j,o] = sum_{a,b,c} x[n, i s + a - p, j s + b - p, c] w[a,b,c,o], zero
// outside the image. x (N, H, W, Cin), w (k, k, Cin, Cout), any k and stride from 1, either padding -> (N,
// H', W', Cout). w stays float32 where x is bfloat16. A network has one, its stem, with three input channels
// and no gradient towards the image; the loops are made for that. For k 1 use conv1x1. `statistics`, where
// given, receives the output's mean and variance for the batch norm that follows; on CUDA it stays not ready,
// and batch norm takes its own. Gradients: dx[n,i,j,c] = sum of dy w over the windows that hold the pixel; dw
// = sum over output positions of dy * x, in a fixed order. Throws on ranks, sizes and dtypes that do not fit
// and on an image smaller than its window.
Tensor conv2d(const Tensor& x, const Tensor& w, Window window, ChannelStatistics* statistics = nullptr);

}  // namespace fovea
