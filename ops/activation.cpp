#include "ops/activation.h"

#include <type_traits>

#include "core/parallel.h"
#include "ops/support/dispatch.h"

namespace fovea {
namespace {

constexpr int64_t grain = 1 << 13;

template <class F, class T>
void activation_cpu(const T* x, T* y, int64_t n) {
  parallel_for(n, grain, [=](int64_t begin, int64_t end) {
#pragma omp simd
    for (int64_t i = begin; i < end; ++i) y[i] = F::forward(x[i]);
  });
}

template <class F, class T>
void activation_backward_cpu(const T* x, const T* dy, T* dx, int64_t n) {
  parallel_for(n, grain, [=](int64_t begin, int64_t end) {
#pragma omp simd
    for (int64_t i = begin; i < end; ++i) dx[i] = dy[i] * F::derivative(x[i]);
  });
}

template <class F>
Tensor apply(const char* op, const Tensor& x) {
  Tensor y = empty_like(x);
  with_compute_dtype(x, op, [&]<class T>() {
    on<T>(x.device(), activation_cpu<F, Accumulator<T>>, cuda::activation<F, T>)(x.data<T>(), y.data<T>(),
                                                                                 x.numel());
  });
  return record(y, op, {x}, [op, x = x.detach()](const Tensor& dy) -> Tensors {
    Tensor dx = empty_like(x);
    with_compute_dtype(x, op, [&]<class T>() {
      on<T>(x.device(), activation_backward_cpu<F, Accumulator<T>>, cuda::activation_backward<F, T>)(
          x.data<T>(), dy.data<T>(), dx.data<T>(), x.numel());
    });
    return {dx};
  });
}

}  // namespace

Tensor relu(const Tensor& x) { return activate(x, Activation::relu); }
Tensor sigmoid(const Tensor& x) { return activate(x, Activation::sigmoid); }
Tensor swish(const Tensor& x) { return activate(x, Activation::swish); }

Tensor activate(const Tensor& x, Activation activation) {
  return with_activation(activation, [&]<class F>() -> Tensor {
    if constexpr (std::is_same_v<F, Identity>)
      return x;
    else
      return apply<F>(name(activation), x);
  });
}

}  // namespace fovea
