#pragma once
#include "cuda/kernels/conv2d.h"

namespace fovea::cuda {

// The convolution of cuda/kernels/conv2d.h as matrix products in tiles, for numbers of channels that are
// multiples of four; for others these functions launch nothing and return false. T: float, double, bfloat16.
template <class T>
bool conv2d_tiled(const T* x, const Accumulator<T>* w, T* y, const Conv2dDims& dims);
template <class T>
bool conv2d_input_gradient_tiled(const Accumulator<T>* w, const T* dy, T* dx, const Conv2dDims& dims);
template <class T>
bool conv2d_weight_gradient_tiled(const T* x, const T* dy, Accumulator<T>* dw, const Conv2dDims& dims);

}  // namespace fovea::cuda
