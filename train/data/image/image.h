#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace fovea {

// An 8-bit RGB image, rows from the top, 3 bytes a pixel, no padding.
struct Image {
  int width = 0;
  int height = 0;
  std::vector<uint8_t> pixels;  // height x width x 3

  Image() = default;
  Image(int w, int h) : width(w), height(h), pixels(size_t(w) * h * 3) {}  // black
  uint8_t* at(int x, int y) { return pixels.data() + (size_t(y) * width + x) * 3; }
  const uint8_t* at(int x, int y) const { return pixels.data() + (size_t(y) * width + x) * 3; }
};

}  // namespace fovea
