#include <fovea/core/print.h>
#include <fovea/ops/arithmetic.h>

#include <iostream>

// The least that one can do with the library: two tensors and an op.
int main() {
  const fovea::Tensor sum = fovea::ones({3}) + fovea::from_values({3}, {1, 2, 3});
  std::cout << sum << "\n";
  return sum.values() == std::vector<double>{2, 3, 4} ? 0 : 1;
}
