#pragma once
#include <fmt/format.h>

#include <array>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>

namespace fovea {

// The sizes of a tensor, outermost first; rank 0 (a scalar) to 6. Images are {N, H, W, C}.
class Shape {
 public:
  static constexpr int max_rank = 6;

  Shape() = default;
  // Shape{8, 224, 224, 3}; throws as the next constructor does
  Shape(std::initializer_list<int64_t> sizes)
      : Shape(std::span<const int64_t>(sizes.begin(), sizes.size())) {}
  explicit Shape(std::span<const int64_t> sizes);  // throws on rank > 6 or a negative size

  int rank() const { return rank_; }
  int64_t numel() const;               // product of the sizes; 1 for a scalar
  int64_t operator[](int axis) const;  // negative axes count from the end; throws when there is no such axis
  void set(int axis, int64_t size);    // as above
  Shape without(int axis) const;       // the shape without this axis
  int axis(int index) const;           // -1 -> rank - 1; throws when there is no such axis
  std::span<const int64_t> sizes() const { return {sizes_.data(), size_t(rank_)}; }
  bool operator==(const Shape& other) const;  // the same rank and sizes
  std::string to_string() const;              // "8x56x56x24", "scalar"

 private:
  std::array<int64_t, max_rank> sizes_{};
  int rank_ = 0;
};

}  // namespace fovea

template <>
struct fmt::formatter<fovea::Shape> : fmt::formatter<std::string> {
  template <class Context>
  auto format(const fovea::Shape& shape, Context& context) const {
    return fmt::formatter<std::string>::format(shape.to_string(), context);
  }
};
