#pragma once
#include <cstdint>

namespace fovea {

// Images as batch x pixels x channels: height and width do not matter.
struct ImageDims {
  int64_t batch = 0, pixels = 0, channels = 0;
};

namespace cuda {

// x, y, dx, dy (batch, pixels, channels), s and means (batch, channels). T: float, double, bfloat16.

// y (batch, channels) = the mean of x over pixels, and its gradient dx = dy / pixels at each pixel.
template <class T>
void global_average_pool(const T* x, T* y, const ImageDims& dims);
template <class T>
void global_average_pool_backward(const T* dy, T* dx, const ImageDims& dims);

// y = x * s, and its gradients dx = dy * s and ds = sum over pixels of dy * x, in one pass over x and dy.
template <class T>
void scale_channels(const T* x, const T* s, T* y, const ImageDims& dims);
template <class T>
void scale_channels_backward(const T* x, const T* s, const T* dy, T* dx, T* ds, const ImageDims& dims);

}  // namespace cuda
}  // namespace fovea
