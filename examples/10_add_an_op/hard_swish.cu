#include "hard_swish.h"

#include "cuda/device/grid.h"
#include "cuda/runtime/launch.h"

namespace lesson {
namespace {

using namespace fovea;

template <class T>
__global__ void forward_kernel(const T* x, T* y, int64_t n) {
  for (int64_t i : grid_stride(n)) y[i] = T(hard_swish(Accumulator<T>(x[i])));
}

template <class T>
__global__ void backward_kernel(const T* x, const T* dy, T* dx, int64_t n) {
  for (int64_t i : grid_stride(n))
    dx[i] = T(Accumulator<T>(dy[i]) * hard_swish_derivative(Accumulator<T>(x[i])));
}

}  // namespace

template <class T>
void forward_cuda(const T* x, T* y, int64_t n) {
  cuda::launch(forward_kernel<T>, {grid_for(n), block_threads}, x, y, n);
}
template <class T>
void backward_cuda(const T* x, const T* dy, T* dx, int64_t n) {
  cuda::launch(backward_kernel<T>, {grid_for(n), block_threads}, x, dy, dx, n);
}

#define INSTANTIATE(T)                                  \
  template void forward_cuda<T>(const T*, T*, int64_t); \
  template void backward_cuda<T>(const T*, const T*, T*, int64_t);
INSTANTIATE(float)
INSTANTIATE(double)
INSTANTIATE(fovea::bfloat16)

}  // namespace lesson
