#pragma once
#include "cuda/kernels/depthwise_conv2d.h"

namespace fovea::cuda {

// The functions of depthwise_conv2d.h on tensor cores: for k 3 or 5, stride 1, channels in packs of eight,
// and maps that fill at least half of the tiles that cover them. For others, and on GPUs before compute
// capability 8.0, they launch nothing and return false, or no chunks. T: bfloat16.
template <class T>
int64_t depthwise_conv2d_chunks_on_tensor_cores(const DepthwiseConv2dDims& dims);
template <class T>
bool depthwise_conv2d_on_tensor_cores(const T* x, const float* w, T* y, const DepthwiseConv2dDims& dims,
                                      const OutputEpilogue& epilogue);
template <class T>
bool depthwise_conv2d_input_gradient_on_tensor_cores(const float* w, const T* dy, T* dx,
                                                     const DepthwiseConv2dDims& dims);
template <class T>
bool depthwise_conv2d_weight_gradient_on_tensor_cores(const T* x, const T* dy, float* dw,
                                                      const DepthwiseConv2dDims& dims);

}  // namespace fovea::cuda
