#include "train/data/synth/synth_shapes.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace fovea {
namespace {

constexpr int samples = 4;  // along each side of a pixel

// A five-pointed star in the unit circle, one point up: the plane is folded along the star's mirror lines (at
// 36 degrees) until one edge is left to compare with.
bool inside_star(double u, double v) {
  constexpr double cos36 = 0.80901699437, sin36 = 0.58778525229, inner = 0.45;
  u = std::abs(u), v = -v;
  const auto fold = [&](double normal_u, double normal_v) {
    const double beyond = 2 * std::max(0.0, u * normal_u + v * normal_v);
    u -= beyond * normal_u, v -= beyond * normal_v;
  };
  fold(cos36, -sin36);
  fold(-cos36, -sin36);
  u = std::abs(u);
  // The edge from the point (0, 1) to the notch at (inner sin36, inner cos36).
  return u * (1 - inner * cos36) + (v - 1) * inner * sin36 < 0;
}

// Whether a point lies in the shape that fills -1 .. 1 in both directions; v points down.
bool inside(ShapeKind kind, double u, double v) {
  const double radius = u * u + v * v;
  switch (kind) {
    case ShapeKind::ellipse:
      return radius < 1;
    case ShapeKind::rectangle:
      return std::abs(u) < 1 && std::abs(v) < 1;
    case ShapeKind::triangle:
      return v < 1 && 2 * std::abs(u) < v + 1;
    case ShapeKind::star:
      return inside_star(u, v);
    case ShapeKind::cross:
      return std::max(std::abs(u), std::abs(v)) < 1 && std::min(std::abs(u), std::abs(v)) < 0.36;
    case ShapeKind::ring:
      return radius < 1 && radius > 0.3;
  }
  return false;
}

}  // namespace

std::string shape_name(ShapeKind kind) {
  constexpr std::array names{"ellipse", "rectangle", "star", "triangle", "cross", "ring"};
  return names[size_t(kind)];
}

Mask rasterize(const DrawnShape& shape, int image_width, int image_height) {
  const double cosine = std::cos(shape.angle), sine = std::sin(shape.angle);
  const double reach_x = std::abs(cosine) * shape.half_width + std::abs(sine) * shape.half_height;
  const double reach_y = std::abs(sine) * shape.half_width + std::abs(cosine) * shape.half_height;
  const int left = int(std::floor(shape.x - reach_x)), right = int(std::ceil(shape.x + reach_x));
  const int top = int(std::floor(shape.y - reach_y)), bottom = int(std::ceil(shape.y + reach_y));

  Mask mask;
  mask.left = std::clamp(left, 0, image_width), mask.width = std::clamp(right, 0, image_width) - mask.left;
  mask.top = std::clamp(top, 0, image_height), mask.height = std::clamp(bottom, 0, image_height) - mask.top;
  mask.coverage.resize(size_t(mask.width) * mask.height);
  int first_x = image_width * samples, last_x = -1, first_y = image_height * samples, last_y = -1;
  constexpr float share = 1.0f / (samples * samples);
  for (int j = top * samples; j < bottom * samples; ++j)
    for (int i = left * samples; i < right * samples; ++i) {
      const double x = (i + 0.5) / samples - shape.x, y = (j + 0.5) / samples - shape.y;
      const double u = (x * cosine + y * sine) / shape.half_width,
                   v = (y * cosine - x * sine) / shape.half_height;
      if (!inside(shape.kind, u, v)) continue;
      mask.whole_area += share;
      const int pixel_x = i >= 0 ? i / samples : -1, pixel_y = j >= 0 ? j / samples : -1;
      if (!mask.contains(pixel_x, pixel_y)) continue;
      mask.area += share;
      mask.coverage[size_t(pixel_y - mask.top) * mask.width + (pixel_x - mask.left)] += share;
      first_x = std::min(first_x, i), last_x = std::max(last_x, i);
      first_y = std::min(first_y, j), last_y = std::max(last_y, j);
    }
  if (mask.area > 0) {
    mask.box_left = double(first_x) / samples, mask.box_right = double(last_x + 1) / samples;
    mask.box_top = double(first_y) / samples, mask.box_bottom = double(last_y + 1) / samples;
  }
  return mask;
}

}  // namespace fovea
