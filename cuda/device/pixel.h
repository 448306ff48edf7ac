#pragma once
#include <cstdint>

#include "cuda/platform.h"

namespace fovea {

// Whether 0 <= position < size, in one comparison.
HD inline bool inside(int position, int size) { return unsigned(position) < unsigned(size); }

// The pixel and channel of element i of a tensor (N, height, width, channels).
struct PixelPlace {
  int64_t image;
  int row, column, channel;
  HD PixelPlace(int64_t i, int height, int width, int channels)
      : image(i / channels / width / height),
        row(int(i / channels / width % height)),
        column(int(i / channels % width)),
        channel(int(i % channels)) {}
};

}  // namespace fovea
