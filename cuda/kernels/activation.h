#pragma once
#include "cuda/device/bfloat16.h"
#include "cuda/device/math.h"
#include "cuda/platform.h"

namespace fovea {

// The activations, each the formula and its derivative with respect to x; written once for CPU and GPU.
enum class Activation { identity, relu, sigmoid, swish };

// x
struct Identity {
  template <class T>
  HD static T forward(T x) {
    return x;
  }
  template <class T>
  HD static T derivative(T) {
    return T(1);
  }
};
// max(x, 0); the derivative at 0 is 0
struct Relu {
  template <class T>
  HD static T forward(T x) {
    return x > T(0) ? x : T(0);
  }
  template <class T>
  HD static T derivative(T x) {
    return x > T(0) ? T(1) : T(0);
  }
};
// 1 / (1 + e^-x)
struct Sigmoid {
  template <class T>
  HD static T forward(T x) {
    return sigmoid_of(x);
  }
  template <class T>
  HD static T derivative(T x) {
    const T s = sigmoid_of(x);
    return s * (T(1) - s);
  }
};
struct Swish {  // x sigmoid(x) (arXiv 1710.05941)
  template <class T>
  HD static T forward(T x) {
    return x * sigmoid_of(x);
  }
  template <class T>
  HD static T derivative(T x) {
    const T s = sigmoid_of(x);
    return s + x * s * (T(1) - s);
  }
};

// Calls f.operator()<Functor>() for the activation known at run time.
template <class F>
decltype(auto) with_activation(Activation activation, F&& f) {
  switch (activation) {
    case Activation::relu:
      return f.template operator()<Relu>();
    case Activation::sigmoid:
      return f.template operator()<Sigmoid>();
    case Activation::swish:
      return f.template operator()<Swish>();
    default:
      return f.template operator()<Identity>();
  }
}

namespace cuda {

// y = F(x) and dx = dy F'(x), elementwise. F: Relu, Sigmoid, Swish; T: float, double, bfloat16.
template <class F, class T>
void activation(const T* x, T* y, int64_t n);
template <class F, class T>
void activation_backward(const T* x, const T* dy, T* dx, int64_t n);

}  // namespace cuda
}  // namespace fovea
