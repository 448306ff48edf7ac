#pragma once
#include <cstdint>
#include <vector>

namespace fovea {

// The size of a feature map, in pixels.
struct ImageSize {
  int64_t height = 0, width = 0;

  int64_t pixels() const { return height * width; }
  bool operator==(const ImageSize&) const = default;
};

// The levels of a pyramid in one tensor (N, P, C): for each image the feature maps of all levels, one after
// another, each row by row. P is the sum of their heights times widths.
struct PyramidShape {
  static constexpr int max_levels = 8;  // kernels take a table of them as an argument
  std::vector<ImageSize> levels;

  int64_t pixels() const {  // P
    int64_t sum = 0;
    for (const ImageSize& level : levels) sum += level.pixels();
    return sum;
  }
};

}  // namespace fovea
