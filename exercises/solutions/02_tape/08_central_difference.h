// Exercise 8: check a gradient by central differences
#pragma once
#include <cmath>
#include <functional>
#include <vector>

inline std::vector<double> central_difference(const std::function<double(const std::vector<double>&)>& f,
                                              std::vector<double> x) {
  std::vector<double> gradient(x.size());
  for (size_t i = 0; i < x.size(); ++i) {
    const double before = x[i], h = 6e-6 * std::max(1.0, std::abs(before));
    x[i] = before + h;
    const double above = f(x);
    x[i] = before - h;
    const double below = f(x);
    x[i] = before;  // assigned: adding h again would leave a rounding error
    gradient[i] = (above - below) / (2 * h);
  }
  return gradient;
}
