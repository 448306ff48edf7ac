// Exercise 3: permute the axes
//
// Goal:      A copy of a tensor with its axes in another order, such as NHWC to NCHW.
// Builds on: 1
// Minutes:   25
// Source:    NumPy manual, numpy.transpose(x, axes); transpose in ops/shape_ops.h, which exchanges two axes
#pragma once
#include <cstdint>
#include <vector>

// x is dense and row-major, of this shape. `order` has each axis of x once: axis k of the result is axis
// order[k] of x. With order {2, 0, 1}:
//
//   size of the result       {shape[2], shape[0], shape[1]}
//   result[{i, j, k}]      = x[{j, k, i}]                      the index along axis 2 of x comes first
//
// The result is also dense and row-major. Shape and order are of the same length, 0 for a scalar; a size may
// be 0.
inline std::vector<float> permute(const std::vector<float>& x, const std::vector<int64_t>& shape,
                                  const std::vector<int>& order) {
  std::vector<float> result(x.size());
  // ---- your code: 9 to 15 lines ----
  (void)shape, (void)order;
  // ---- end ----
  return result;
}
