// Exercise 8: check a gradient by central differences
//
// Goal:      The gradient of any function from its values only, as exact as double allows.
// Builds on: 7
// Minutes:   20
// Source:    df/dx = (f(x + h) - f(x - h)) / (2 h) + O(h^2); Press et al., Numerical Recipes,
//            "Numerical Derivatives"; ops/support/check_op.h, which checks each of our ops in this way
#pragma once
#include <cmath>
#include <functional>
#include <vector>

// The derivative of f with respect to each element of x, all other elements being what they are in x.
//
// How large should the step h be? Two errors compete. Cutting off the Taylor series costs about h^2
// f'''/6: it grows with h. f(x + h) and f(x - h) are rounded, each by about eps |f| with eps = 2.2e-16, and
// divided by h: that error is eps |f| / h and grows as h gets smaller. Their sum is least near h = cube root
// of eps, which is 6e-6, for an x around 1. A large x needs a larger step, in proportion to |x|: x + h is
// rounded by eps |x| as well. For a small x, and for 0, h stays what it is for 1.
inline std::vector<double> central_difference(const std::function<double(const std::vector<double>&)>& f,
                                              std::vector<double> x) {
  std::vector<double> gradient(x.size());
  // ---- your code: 6 to 10 lines ----
  (void)f;
  // ---- end ----
  return gradient;
}
