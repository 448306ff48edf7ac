#pragma once
#include <algorithm>
#include <string>

#include <fmt/format.h>

#include "core/error.h"
#include "core/tensor.h"
#include "cuda/kernels/pyramid.h"

namespace fovea {

// "64x64 32x32": heights and widths, level after level.
inline std::string name(const PyramidShape& shape) {
  std::string text;
  for (const ImageSize& level : shape.levels)
    text += fmt::format("{}{}x{}", text.empty() ? "" : " ", level.height, level.width);
  return text;
}

// Throws, naming the op, unless x is a pyramid (N, P, C): on other ranks, other numbers of pixels, empty
// levels, no level or more than 8.
inline void require_pyramid(const char* op, const Tensor& x, const PyramidShape& shape) {
  require(!shape.levels.empty() && shape.levels.size() <= size_t(PyramidShape::max_levels) &&
              std::all_of(shape.levels.begin(), shape.levels.end(),
                          [](const ImageSize& level) { return level.height > 0 && level.width > 0; }),
          "[{}] a pyramid has 1 to {} levels of at least one pixel, got {} levels: {}", op,
          PyramidShape::max_levels, shape.levels.size(), name(shape));
  require(x.rank() == 3 && x.size(1) == shape.pixels(),
          "[{}] x is {}: it must be (N, {}, C) for the levels {}", op, x.shape(), shape.pixels(),
          name(shape));
}

}  // namespace fovea
