#pragma once
#include "core/autograd.h"
#include "cuda/kernels/pyramid.h"
#include "cuda/kernels/window.h"
#include "ops/support/epilogue.h"

namespace fovea {

// Convolves each channel with its own k x k filter: y[n,i,j,c] = sum_{a,b} x[n, i s + a - p, j s + b - p, c]
// w[a,b,c], zero outside the image. x (N, H, W, C), w (k, k, C), k 3 or 5, stride 1 or 2, any padding -> (N,
// H', W', C) with window.output_size(H). w stays float32 where x is bfloat16, and is rounded to bfloat16 in
// the sums. On the CPU it calls `epilogue` for each block of the output; on CUDA the kernel applies it,
// except in float64 and where the channels are not whole packs of 16 bytes. Gradients: dx is the same
// convolution of dy with the filter rotated by 180 degrees (stride 2: two interleaved ones of half the taps);
// dw[a,b,c] = sum over output positions of dy * x, in a fixed order. Throws on other ranks, kernels and
// strides.
Tensor depthwise_conv2d(const Tensor& x, const Tensor& w, Window window, Epilogue* epilogue = nullptr);
// The same in every level of a pyramid, with one w for all of them: x (N, P, C), where P counts the pixels of
// all levels, w (k, k, C), k 3 or 5, stride 1, k / 2 zeros on each side of a level -> (N, P, C). On CUDA one
// launch serves all levels, also for each gradient; dw is summed over images and levels in a fixed order.
// Throws on other ranks, kernels and numbers of pixels, and on more than 8 levels.
Tensor depthwise_conv2d(const Tensor& x, const Tensor& w, const PyramidShape& shape);

}  // namespace fovea
