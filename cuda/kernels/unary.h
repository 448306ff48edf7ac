#pragma once
#include <cmath>

#include "cuda/platform.h"

namespace fovea {

// Functions of one number and their derivatives, written once for CPU and GPU, like activations. Their
// kernels are those of activation.h.

// e^x
struct Exp {
  template <class T>
  HD static T forward(T x) {
    return std::exp(x);
  }
  template <class T>
  HD static T derivative(T x) {
    return std::exp(x);
  }
};
// The natural logarithm: -infinity at 0, a NaN below
struct Log {
  template <class T>
  HD static T forward(T x) {
    return std::log(x);
  }
  template <class T>
  HD static T derivative(T x) {
    return T(1) / x;
  }
};
// A NaN below 0; the derivative at 0 is infinite
struct Sqrt {
  template <class T>
  HD static T forward(T x) {
    return std::sqrt(x);
  }
  template <class T>
  HD static T derivative(T x) {
    return T(0.5) / std::sqrt(x);
  }
};
// The derivative is 1 - tanh(x)^2, where no digit cancels: 4 e / (1 + e)^2 with e = e^(-2 |x|)
struct Tanh {
  template <class T>
  HD static T forward(T x) {
    return std::tanh(x);
  }
  template <class T>
  HD static T derivative(T x) {
    const T e = std::exp(T(-2) * (x < T(0) ? -x : x));
    return T(4) * e / ((T(1) + e) * (T(1) + e));
  }
};

// The single list of them: X(name of the op, formula) for each.
#define FOVEA_UNARY(X) X(exp, Exp) X(log, Log) X(sqrt, Sqrt) X(tanh, Tanh)

}  // namespace fovea
