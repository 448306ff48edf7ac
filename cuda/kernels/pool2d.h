#pragma once
#include <cstdint>

#include "cuda/device/bfloat16.h"
#include "cuda/device/host_device.h"
#include "cuda/kernels/window.h"

namespace fovea {

// One axis of an image, with the window that pools it. It is computed once, because divisions cost a GPU
// dozens of instructions.
struct PoolAxis {
  int in = 0, out = 0, kernel = 1, stride = 1;
  int pad = 0;  // positions of the first window before the image

  // Output o pools inputs [begin(o), end(o)) of the window, which starts at start(o), perhaps outside.
  FOVEA_HOST_DEVICE int start(int o) const { return o * stride - pad; }
  FOVEA_HOST_DEVICE int begin(int o) const { return start(o) > 0 ? start(o) : 0; }
  FOVEA_HOST_DEVICE int end(int o) const { return start(o) + kernel < in ? start(o) + kernel : in; }

  // The outputs whose windows hold input i: [first_window(i), end_window(i)).
  FOVEA_HOST_DEVICE int first_window(int i) const {
    return i + pad < kernel ? 0 : (i + pad - kernel) / stride + 1;
  }
  FOVEA_HOST_DEVICE int end_window(int i) const {
    const int beyond = (i + pad) / stride + 1;
    return beyond < out ? beyond : out;
  }
};

// An axis of `in` pixels pooled to `out` positions.
inline PoolAxis pool_axis(const Window& window, int64_t in, int64_t out) {
  return {int(in), int(out), window.kernel, window.stride, int(window.pad_before(in))};
}

// Images (batch, height, width, channels) and their pooled size. Every window holds a pixel.
struct Pool2dDims {
  int64_t batch = 0;
  PoolAxis vertical, horizontal;
  int channels = 0;

  int64_t inputs() const { return batch * vertical.in * horizontal.in * channels; }
  int64_t outputs() const { return batch * vertical.out * horizontal.out * channels; }
};

namespace cuda {

// T: float, double, bfloat16. x and dx are (batch, height, width, channels), y and dy the pooled ones.

// y = the largest number of each window; a NaN counts as larger than all numbers.
template <class T>
void max_pool2d(const T* x, T* y, const Pool2dDims& dims);
// Its gradient: each dy at the first maximum of its window, row by row, and nowhere if that is a NaN. A
// window has at most 65535 pixels.
template <class T>
void max_pool2d_backward(const T* x, const T* dy, T* dx, const Pool2dDims& dims);

// y = the mean of the pixels of each window, ignoring positions outside the image; and its gradient.
template <class T>
void average_pool2d(const T* x, T* y, const Pool2dDims& dims);
template <class T>
void average_pool2d_backward(const T* dy, T* dx, const Pool2dDims& dims);

}  // namespace cuda
}  // namespace fovea
