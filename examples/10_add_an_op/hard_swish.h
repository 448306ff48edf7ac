#pragma once
#include <cstdint>

#include "cuda/device/bfloat16.h"
#include "cuda/device/host_device.h"

// Hard swish, x min(max(x + 3, 0), 6) / 6 (arXiv 1905.02244).
namespace lesson {

// The formula and its derivative, written once for CPU and GPU. R is the type of the arithmetic: float or
// double.
template <class R>
FOVEA_HOST_DEVICE R hard_swish(R x) {
  return x <= R(-3) ? R(0) : x >= R(3) ? x : x * (x + R(3)) / R(6);
}
template <class R>
FOVEA_HOST_DEVICE R hard_swish_derivative(R x) {
  return x <= R(-3) ? R(0) : x >= R(3) ? R(1) : (R(2) * x + R(3)) / R(6);
}

// On CUDA (hard_swish.cu): y = f(x) and dx = dy f'(x) for n numbers; T is float, double or bfloat16.
template <class T>
void forward_cuda(const T* x, T* y, int64_t n);
template <class T>
void backward_cuda(const T* x, const T* dy, T* dx, int64_t n);

}  // namespace lesson
