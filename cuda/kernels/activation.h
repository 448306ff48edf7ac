#pragma once
#include "cuda/device/bfloat16.h"
#include "cuda/device/host_device.h"
#include "cuda/device/math.h"

namespace fovea {

// x. An activation is a formula and its derivative with respect to x, written once for CPU and GPU. `Stored`
// is the type that the caller rounds the result to, which need not be more accurate than that; void: T.
struct Identity {
  template <class Stored = void, class T>
  FOVEA_HOST_DEVICE static T forward(T x) {
    return x;
  }
  template <class Stored = void, class T>
  FOVEA_HOST_DEVICE static T derivative(T) {
    return T(1);
  }
};
// max(x, 0), which keeps a NaN; the derivative at 0 is 0
struct Relu {
  template <class Stored = void, class T>
  FOVEA_HOST_DEVICE static T forward(T x) {
    return x < T(0) ? T(0) : x;
  }
  template <class Stored = void, class T>
  FOVEA_HOST_DEVICE static T derivative(T x) {
    return x > T(0) ? T(1) : T(0);
  }
};
// min(max(x, 0), 6) (MobileNet, arXiv 1704.04861); the derivative at 0 and 6 is 0
struct Relu6 {
  template <class Stored = void, class T>
  FOVEA_HOST_DEVICE static T forward(T x) {
    return x > T(6) ? T(6) : Relu::forward(x);
  }
  template <class Stored = void, class T>
  FOVEA_HOST_DEVICE static T derivative(T x) {
    return x < T(6) ? Relu::derivative(x) : T(0);
  }
};
// 1 / (1 + e^-x)
struct Sigmoid {
  template <class Stored = void, class T>
  FOVEA_HOST_DEVICE static T forward(T x) {
    return sigmoid_for<Stored>(x);
  }
  template <class Stored = void, class T>
  FOVEA_HOST_DEVICE static T derivative(T x) {
    const T s = forward<Stored>(x);
    return s * (T(1) - s);
  }
};
// x sigmoid(x) (arXiv 1710.05941)
struct Swish {
  template <class Stored = void, class T>
  FOVEA_HOST_DEVICE static T forward(T x) {
    return swish_for<Stored>(x);
  }
  template <class Stored = void, class T>
  FOVEA_HOST_DEVICE static T derivative(T x) {
    const T s = Sigmoid::forward<Stored>(x);
    return s + x * s * (T(1) - s);
  }
};

// The single list of activations: X(name, formula) for each. The enum, its names, the dispatch, the kernels'
// instantiations and the tests' loops come from it. FOVEA_NONLINEARITIES are the elementwise ops among them:
// all but the identity.
#define FOVEA_NONLINEARITIES(X) X(relu, Relu) X(relu6, Relu6) X(sigmoid, Sigmoid) X(swish, Swish)
#define FOVEA_ACTIVATIONS(X) X(identity, Identity) FOVEA_NONLINEARITIES(X)

#define FOVEA_NAME(name, F) name,
// An activation that is chosen at run time.
enum class Activation { FOVEA_ACTIVATIONS(FOVEA_NAME) };
#undef FOVEA_NAME

#define FOVEA_VALUE(name, F) Activation::name,
// For loops over all activations.
inline constexpr Activation all_activations[] = {FOVEA_ACTIVATIONS(FOVEA_VALUE)};
#undef FOVEA_VALUE

// "relu": the name of its op, and in recorded graphs.
constexpr const char* name(Activation activation) {
#define FOVEA_CASE(name, F) \
  case Activation::name:    \
    return #name;
  switch (activation) { FOVEA_ACTIVATIONS(FOVEA_CASE) }
#undef FOVEA_CASE
  return "";
}

// Calls f.operator()<F>() with the activation's formula.
template <class Function>
decltype(auto) with_activation(Activation activation, Function&& f) {
#define FOVEA_CASE(name, F) \
  case Activation::name:    \
    return f.template operator()<F>();
  switch (activation) { FOVEA_ACTIVATIONS(FOVEA_CASE) }
#undef FOVEA_CASE
  return f.template operator()<Identity>();  // for the compiler: there are no others
}

namespace cuda {

// y = F(x) and dx = dy F'(x), elementwise. F: one of FOVEA_NONLINEARITIES or of FOVEA_UNARY
// (unary.h); T: float, double, bfloat16.
template <class F, class T>
void activation(const T* x, T* y, int64_t n);
template <class F, class T>
void activation_backward(const T* x, const T* dy, T* dx, int64_t n);

}  // namespace cuda
}  // namespace fovea
