#pragma once
#include <string>
#include <vector>

namespace fovea {

// The kinds of shapes, which are the classes of the drawn data set; the order is that of their labels.
enum class ShapeKind { ellipse, rectangle, star, triangle, cross, ring };
inline constexpr int shape_kinds = 6;
std::string shape_name(ShapeKind kind);

// One object, whatever part of it the image shows.
struct DrawnShape {
  ShapeKind kind = ShapeKind::ellipse;
  double x = 0, y = 0;                     // centre, in pixels
  double half_width = 1, half_height = 1;  // before the rotation, in pixels
  double angle = 0;                        // clockwise, in radians
};

// The share of each pixel that a shape covers, from 4 x 4 samples per pixel, in the part of the image that it
// touches.
struct Mask {
  int left = 0, top = 0, width = 0, height = 0;
  std::vector<float> coverage;  // height x width, 0 to 1
  double area = 0;              // sum of coverage: pixels of the shape inside the image
  double whole_area = 0;        // the same with the part outside the image
  // The samples' extents inside the image, exact to 1/4 pixel; 0 and 0 if the shape lies outside.
  double box_left = 0, box_top = 0, box_right = 0, box_bottom = 0;

  float at(int x, int y) const { return coverage[size_t(y - top) * width + (x - left)]; }
  bool contains(int x, int y) const { return x >= left && x < left + width && y >= top && y < top + height; }
};

// Draws it into an image of this size.
Mask rasterize(const DrawnShape& shape, int image_width, int image_height);

}  // namespace fovea
