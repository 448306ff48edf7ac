#pragma once
#include "core/autograd.h"
#include "core/parallel.h"
#include "cuda/kernels/activation.h"
#include "ops/support/dispatch.h"

namespace fovea {

// y = F(x) for n numbers, in host memory.
template <class F, class T>
void elementwise_cpu(const T* x, T* y, int64_t n) {
  parallel_for(n, 1 << 13, [=](int64_t begin, int64_t end) {
#pragma omp simd
    for (int64_t i = begin; i < end; ++i) y[i] = F::forward(x[i]);
  });
}

// dx = dy F'(x) for n numbers, in host memory.
template <class F, class T>
void elementwise_backward_cpu(const T* x, const T* dy, T* dx, int64_t n) {
  parallel_for(n, 1 << 13, [=](int64_t begin, int64_t end) {
#pragma omp simd
    for (int64_t i = begin; i < end; ++i) dx[i] = dy[i] * F::derivative(x[i]);
  });
}

// The op of one formula: y = F(x) for each element, and the gradient dy F'(x) from the saved input. F is one
// of FOVEA_NONLINEARITIES or FOVEA_UNARY, which have kernels.
template <class F>
Tensor elementwise(const char* op, const Tensor& x) {
  Tensor y = empty_like(x);
  with_compute_dtype(x, op, [&]<class T>() {
    on<T>(x.device(), elementwise_cpu<F, Accumulator<T>>, cuda::activation<F, T>)(x.data<T>(), y.data<T>(),
                                                                                  x.numel());
  });
  return record(y, op, {x}, [op, x = x.detach()](const Tensor& dy) -> Tensors {
    Tensor dx = empty_like(x);
    with_compute_dtype(x, op, [&]<class T>() {
      on<T>(x.device(), elementwise_backward_cpu<F, Accumulator<T>>, cuda::activation_backward<F, T>)(
          x.data<T>(), dy.data<T>(), dx.data<T>(), x.numel());
    });
    return {dx};
  });
}

}  // namespace fovea
