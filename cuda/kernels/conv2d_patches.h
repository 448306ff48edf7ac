#pragma once
#include "cuda/kernels/conv2d.h"

namespace fovea::cuda {

// The weight gradient of cuda/kernels/conv2d.h for a network's first convolution on tensor cores: a 3x3
// filter with an even stride over images of three channels and an even width, whose rows then begin at whole
// words, and an output of channels in packs of eight. For other sizes, and on GPUs before compute
// capability 8.0, it launches nothing and returns false. T: bfloat16.
template <class T>
bool conv2d_weight_gradient_patches(const T* x, const T* dy, Accumulator<T>* dw, const Conv2dDims& dims);

}  // namespace fovea::cuda
