// Exercise 34: the anchors of one level
#pragma once
#include <cmath>
#include <vector>

// A level has cells x cells cells of `stride` pixels. On the centre of each cell, (y + 1/2) stride and (x +
// 1/2) stride, stand 9 anchors: three octaves, and for each three shapes. A side is 4 * stride * 2^(octave /
// 3) times the shape's factor, given as {width, height}. The order is y, x, octave (0, 1, 2), shape. Anchors
// reach over the image's edges.
struct Box {
  double y0, x0, y1, x1;
};
inline std::vector<Box> anchors_of_level(int cells, double stride) {
  const double factors[3][2] = {{1, 1}, {1.4, 0.7}, {0.7, 1.4}};  // width, height
  std::vector<Box> anchors;
  for (int y = 0; y < cells; ++y)
    for (int x = 0; x < cells; ++x)
      for (int octave = 0; octave < 3; ++octave)
        for (const auto& [width, height] : factors) {
          const double side = 4 * stride * std::pow(2, octave / 3.0);
          const double cy = (y + 0.5) * stride, cx = (x + 0.5) * stride;
          anchors.push_back(
              {cy - side * height / 2, cx - side * width / 2, cy + side * height / 2, cx + side * width / 2});
        }
  return anchors;
}
