// Exercise 26: the gradient of cross entropy with smoothed labels
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

// The loss of one row is -sum_k t_k log softmax(logits)_k, where t mixes the one-hot label with 1 / K for
// each of the K classes: t_k = (1 - smoothing) [k = label] + smoothing / K. Return its gradient with respect
// to the logits. 0 <= label < logits.size(), 0 <= smoothing < 1.
inline std::vector<double> cross_entropy_gradient(const std::vector<double>& logits, std::size_t label,
                                                  double smoothing) {
  std::vector<double> gradient(logits.size());
  const double largest = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (std::size_t k = 0; k < logits.size(); ++k) sum += gradient[k] = std::exp(logits[k] - largest);
  // The derivative of log sum exp is the softmax, that of -sum t x is -t; and since t sums to 1, nothing else
  // is left.
  for (double& g : gradient) g = g / sum - smoothing / double(logits.size());
  gradient[label] -= 1 - smoothing;
  return gradient;
}
