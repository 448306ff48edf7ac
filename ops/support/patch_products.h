#pragma once
#include "cuda/kernels/conv2d.h"
#include "ops/support/epilogue.h"

namespace fovea {

// Dense convolution on the CPU as matrix products (Chellapilla, Puri and Simard 2006, "High Performance
// Convolutional Neural Networks for Document Processing"): the pixels under a window, its patch, become one
// row of a matrix, block by block of output pixels, while the block stays in the second-level cache; the
// filter is the other matrix. Blocks depend only on the sizes, so the bits are the same on any number of
// threads. Arrays are as for cuda::conv2d; T: float, double. oneDNN's own convolutions are as fast, but the
// number of threads decides where they cut the sums of a weight gradient.

// The epilogue, unless null, is called for each block of y.
template <class T>
void conv2d_by_products(const T* x, const T* w, T* y, const Conv2dDims& d, Epilogue* epilogue);
template <class T>
void input_gradient_by_products(const T* w, const T* dy, T* dx, const Conv2dDims& d);
template <class T>
void weight_gradient_by_products(const T* x, const T* dy, T* dw, const Conv2dDims& d);

}  // namespace fovea
