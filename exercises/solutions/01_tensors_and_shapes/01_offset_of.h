// Exercise 1: where an element lies
#pragma once
#include <cstdint>
#include <vector>

inline int64_t offset_of(const std::vector<int64_t>& index, const std::vector<int64_t>& shape) {
  // Horner's scheme: each axis multiplies what the axes before it add up to.
  int64_t offset = 0;
  for (size_t axis = 0; axis < shape.size(); ++axis) offset = offset * shape[axis] + index[axis];
  return offset;
}
