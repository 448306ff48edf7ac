// Exercise 25: log softmax without overflow
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

// At least one logit. exp(1000) is infinite and exp(-1000) is 0, so the formula as it stands gives NaN or
// -infinity for such logits. The result does not change when one number is subtracted from all logits: choose
// it well.
inline std::vector<double> log_softmax(const std::vector<double>& logits) {
  std::vector<double> result(logits.size());
  // After this the largest exponent is 0: no term overflows, and the sum is at least 1, so that its logarithm
  // is safe.
  const double largest = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (double x : logits) sum += std::exp(x - largest);
  for (std::size_t k = 0; k < logits.size(); ++k) result[k] = logits[k] - largest - std::log(sum);
  return result;
}
