#pragma once
#include <catch2/catch.hpp>

#include "ops/support/check_op.h"

namespace fovea {

// Checks that an op gives the same numbers and gradients as a composition of other ops, in relative norms,
// for a random gradient of the output.
inline void check_same_gradients(const OpFunction& op, const OpFunction& composition, const Tensors& inputs,
                                 Random& random, double output_tolerance, double gradient_tolerance) {
  Tensors of_parts;
  for (const Tensor& input : inputs) {
    of_parts.push_back(input.clone().set_requires_grad());
    input.set_requires_grad();
  }
  const Tensor y = op(inputs), reference = composition(of_parts);
  CHECK(relative_difference(y, reference) < output_tolerance);
  const Tensor dy = randn(y.shape(), random, DType::float64);
  y.backward(dy);
  reference.backward(dy);
  for (size_t i = 0; i < inputs.size(); ++i) {
    CAPTURE(i);
    CHECK(relative_difference(inputs[i].grad(), of_parts[i].grad()) < gradient_tolerance);
  }
}

}  // namespace fovea
