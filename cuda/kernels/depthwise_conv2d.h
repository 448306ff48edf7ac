#pragma once
#include <cstdint>

#include "cuda/device/bfloat16.h"
#include "cuda/kernels/window.h"

namespace fovea {

// Sizes of a depthwise convolution and what follows from them.
struct DepthwiseConv2dDims {
  int64_t batch = 0, in_height = 0, in_width = 0, channels = 0;
  Window window;

  int64_t out_height() const { return window.output_size(in_height); }
  int64_t out_width() const { return window.output_size(in_width); }
  int64_t in_row() const { return in_width * channels; }
  int64_t out_row() const { return out_width() * channels; }
};

namespace cuda {

// y[n,i,j,c] = sum_{a,b} x[n, i s + a - p, j s + b - p, c] w[a,b,c]. x (N, H, W, C), w (k, k, C), y (N, H',
// W', C); any window, fast ones for k 3 and 5 with stride 1 and 2. T: float, double, bfloat16.
template <class T>
void depthwise_conv2d(const T* x, const Accumulator<T>* w, T* y, const DepthwiseConv2dDims& dims);
// dx (N, H, W, C) is written whole, pixels that no window sees too.
template <class T>
void depthwise_conv2d_input_gradient(const Accumulator<T>* w, const T* dy, T* dx,
                                     const DepthwiseConv2dDims& dims);
// dw (k, k, C) is written whole. Sums run in Accumulator<T> within a block and in double over blocks, in a
// fixed order.
template <class T>
void depthwise_conv2d_weight_gradient(const T* x, const T* dy, Accumulator<T>* dw,
                                      const DepthwiseConv2dDims& dims);

}  // namespace cuda
}  // namespace fovea
