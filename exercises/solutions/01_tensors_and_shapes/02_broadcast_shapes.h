// Exercise 2: the shape of a broadcast result
#pragma once
#include <algorithm>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

inline std::vector<int64_t> broadcast_shapes(const std::vector<int64_t>& a, const std::vector<int64_t>& b) {
  const size_t rank = std::max(a.size(), b.size());
  std::vector<int64_t> result(rank);
  // Counted from the end, an axis has the same number in both shapes.
  for (size_t i = 1; i <= rank; ++i) {
    const int64_t of_a = i <= a.size() ? a[a.size() - i] : 1, of_b = i <= b.size() ? b[b.size() - i] : 1;
    if (of_a != of_b && of_a != 1 && of_b != 1)
      throw std::invalid_argument("sizes " + std::to_string(of_a) + " and " + std::to_string(of_b) +
                                  " at axis -" + std::to_string(i) + " do not broadcast");
    // Not max(of_a, of_b): 1 and 0 give 0, since repeating an axis no times leaves nothing.
    result[rank - i] = of_a == 1 ? of_b : of_a;
  }
  return result;
}
