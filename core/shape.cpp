#include "core/shape.h"

#include <algorithm>

#include "core/error.h"

namespace fovea {

Shape::Shape(std::span<const int64_t> sizes) : rank_(int(sizes.size())) {
  require(sizes.size() <= max_rank, "[Shape] rank {} is over the limit of {}", sizes.size(), max_rank);
  for (size_t i = 0; i < sizes.size(); ++i) {
    require(sizes[i] >= 0, "[Shape] size {} of axis {} is negative", sizes[i], i);
    sizes_[i] = sizes[i];
  }
}

int64_t Shape::numel() const {
  int64_t product = 1;
  for (int64_t size : sizes()) product *= size;
  return product;
}

int Shape::axis(int index) const {
  const int positive = index < 0 ? index + rank_ : index;
  require(positive >= 0 && positive < rank_, "[Shape] {} has no axis {}", *this, index);
  return positive;
}

int64_t Shape::operator[](int index) const { return sizes_[size_t(axis(index))]; }

void Shape::set(int index, int64_t size) {
  require(size >= 0, "[Shape] size {} of axis {} is negative", size, index);
  sizes_[size_t(axis(index))] = size;
}

Shape Shape::without(int index) const {
  Shape result;
  const int removed = axis(index);
  for (int i = 0; i < rank_; ++i)
    if (i != removed) result.sizes_[size_t(result.rank_++)] = sizes_[size_t(i)];
  return result;
}

bool Shape::operator==(const Shape& other) const { return std::ranges::equal(sizes(), other.sizes()); }

std::string Shape::to_string() const {
  return rank_ == 0 ? "scalar" : fmt::format("{}", fmt::join(sizes(), "x"));
}

}  // namespace fovea
