// Exercise 2: the shape of a broadcast result
//
// Goal:      The shape of a + b where a and b have different shapes, or an exception where they do not fit.
// Builds on: nothing
// Minutes:   15
// Source:    NumPy manual, "Broadcasting", general rules; broadcast_shape in ops/arithmetic.cpp
#pragma once
#include <algorithm>
#include <cstdint>
#include <stdexcept>
#include <vector>

// Align the two shapes at their last axes. Axes that the shorter shape lacks count as size 1:
//
//   a       {8, 1, 6, 1}          a       {3}
//   b          {7, 1, 5}          b       {4}
//   result  {8, 7, 6, 5}          refused: 3 and 4
//
// For each pair of sizes: equal sizes give that size; where one of them is 1, that axis is repeated and the
// result has the other's size; all other pairs are refused: throw an exception whose text names both sizes. A
// size may be 0 (a tensor without elements), and the rule holds for it as for any other size. A scalar has
// the shape {}.
inline std::vector<int64_t> broadcast_shapes(const std::vector<int64_t>& a, const std::vector<int64_t>& b) {
  // ---- your code: 7 to 12 lines ----
  (void)b;
  return a;
  // ---- end ----
}
