#include "train/data/augment/rotate.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace fovea {
namespace {

struct Point {
  double x, y;
};

// A turn about the centre of an image, clockwise because y points downwards.
struct Turn {
  double cosine, sine;
  Point centre;

  Turn(const Image& image, double degrees)
      : cosine(std::cos(degrees * std::numbers::pi / 180)),
        sine(std::sin(degrees * std::numbers::pi / 180)),
        centre{image.width / 2.0, image.height / 2.0} {}
  Point operator()(Point p) const {
    const double x = p.x - centre.x, y = p.y - centre.y;
    return {centre.x + cosine * x - sine * y, centre.y + sine * x + cosine * y};
  }
};

}  // namespace

Image rotate(const Image& image, double degrees, const std::array<uint8_t, 3>& background) {
  const Turn back(image, -degrees);
  Image turned(image.width, image.height);
  const auto source = [&](int x, int y) {
    const bool inside = x >= 0 && y >= 0 && x < image.width && y < image.height;
    return inside ? image.at(x, y) : background.data();
  };
  for (int y = 0; y < image.height; ++y)
    for (int x = 0; x < image.width; ++x) {
      const Point from = back({x + 0.5, y + 0.5});
      const double left = std::floor(from.x - 0.5), top = std::floor(from.y - 0.5);
      const double right_share = from.x - 0.5 - left, lower_share = from.y - 0.5 - top;
      const int column = int(left), row = int(top);
      const uint8_t *upper_left = source(column, row), *upper_right = source(column + 1, row),
                    *lower_left = source(column, row + 1), *lower_right = source(column + 1, row + 1);
      for (int c = 0; c < 3; ++c) {
        const double upper = std::lerp(upper_left[c], upper_right[c], right_share),
                     lower = std::lerp(lower_left[c], lower_right[c], right_share);
        turned.at(x, y)[c] = uint8_t(std::lround(std::lerp(upper, lower, lower_share)));
      }
    }
  return turned;
}

std::vector<Annotation> rotate(const Image& image, std::span<const Annotation> annotations, double degrees) {
  const Turn turn(image, degrees);
  std::vector<Annotation> turned;
  for (const Annotation& annotation : annotations) {
    const double left = std::clamp(annotation.x, 0.0, double(image.width)),
                 right = std::clamp(annotation.x + annotation.width, 0.0, double(image.width)),
                 top = std::clamp(annotation.y, 0.0, double(image.height)),
                 bottom = std::clamp(annotation.y + annotation.height, 0.0, double(image.height));
    if (right <= left || bottom <= top) continue;
    const Point centre = turn({(left + right) / 2, (top + bottom) / 2});
    const double width = right - left, height = bottom - top, c = std::abs(turn.cosine),
                 s = std::abs(turn.sine);
    Annotation moved = annotation;
    moved.width = annotation.crowd ? c * width + s * height : std::hypot(c * width, s * height);
    moved.height = annotation.crowd ? s * width + c * height : std::hypot(s * width, c * height);
    moved.x = centre.x - moved.width / 2;
    moved.y = centre.y - moved.height / 2;
    turned.push_back(moved);
  }
  return turned;
}

}  // namespace fovea
