#include "ops/activation.h"

#include <type_traits>

#include "ops/support/elementwise.h"

namespace fovea {

Tensor relu(const Tensor& x) { return activate(x, Activation::relu); }
Tensor relu6(const Tensor& x) { return activate(x, Activation::relu6); }
Tensor sigmoid(const Tensor& x) { return activate(x, Activation::sigmoid); }
Tensor swish(const Tensor& x) { return activate(x, Activation::swish); }

Tensor activate(const Tensor& x, Activation activation) {
  return with_activation(activation, [&]<class F>() -> Tensor {
    if constexpr (std::is_same_v<F, Identity>)
      return x;
    else
      return elementwise<F>(name(activation), x);
  });
}

}  // namespace fovea
