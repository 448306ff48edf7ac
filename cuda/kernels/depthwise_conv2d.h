#pragma once
#include <cstdint>

#include "cuda/device/bfloat16.h"
#include "cuda/kernels/pyramid.h"
#include "cuda/kernels/window.h"

namespace fovea {

// Sizes of a depthwise convolution and what follows from them.
struct DepthwiseConv2dDims {
  int64_t batch = 0, channels = 0;
  Window window;
  PyramidShape in;  // the levels of an image: one where x is (N, H, W, C)

  PyramidShape out() const {
    PyramidShape result = in;
    for (ImageSize& level : result.levels)
      level = {window.output_size(level.height), window.output_size(level.width)};
    return result;
  }
};

namespace cuda {

// y[n,i,j,c] = sum_{a,b} x[n, i s + a - p, j s + b - p, c] w[a,b,c], in each level of an image. x (N, P, C),
// w (k, k, C), y (N, P', C); any window, fast ones for k 3 and 5 with stride 1 and 2. T: float, double,
// bfloat16. One launch for all levels.
template <class T>
void depthwise_conv2d(const T* x, const Accumulator<T>* w, T* y, const DepthwiseConv2dDims& dims);
// dx (N, P, C) is written whole, pixels that no window sees too.
template <class T>
void depthwise_conv2d_input_gradient(const Accumulator<T>* w, const T* dy, T* dx,
                                     const DepthwiseConv2dDims& dims);
// dw (k, k, C), summed over images and levels, is written whole. Sums run in Accumulator<T>, in a fixed
// order.
template <class T>
void depthwise_conv2d_weight_gradient(const T* x, const T* dy, Accumulator<T>* dw,
                                      const DepthwiseConv2dDims& dims);

}  // namespace cuda
}  // namespace fovea
