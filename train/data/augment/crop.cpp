#include "train/data/augment/crop.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace fovea {
namespace {

constexpr double smallest_side = 0.3, aspect_limit = 2;
constexpr std::array min_overlaps{0.1, 0.3, 0.5, 0.7, 0.9, 0.0};
constexpr int attempts = 50;

struct Edges {
  double left, top, right, bottom;
  double area() const { return std::max(0.0, right - left) * std::max(0.0, bottom - top); }
};

// The part of the annotation that lies in the image.
Edges inside(const Annotation& a, const Image& image) {
  return {std::max(a.x, 0.0), std::max(a.y, 0.0), std::min(a.x + a.width, double(image.width)),
          std::min(a.y + a.height, double(image.height))};
}

Edges common(const Edges& a, const CropWindow& w) {
  return {std::max(a.left, double(w.left)), std::max(a.top, double(w.top)),
          std::min(a.right, double(w.left) + w.width), std::min(a.bottom, double(w.top) + w.height)};
}

double iou(const Edges& box, const CropWindow& window) {
  const double both = common(box, window).area();
  return both > 0 ? both / (box.area() + double(window.width) * window.height - both) : 0;
}

bool holds_centre(const CropWindow& w, const Edges& box) {
  const double x = (box.left + box.right) / 2, y = (box.top + box.bottom) / 2;
  return x >= w.left && x < w.left + w.width && y >= w.top && y < w.top + w.height;
}

}  // namespace

CropWindow random_crop(const Image& image, std::span<const Annotation> annotations, Random& random) {
  std::vector<Edges> objects;
  for (const Annotation& a : annotations)
    if (const Edges box = inside(a, image); !a.crowd && box.area() > 0) objects.push_back(box);
  const double least = min_overlaps[size_t(random.below(min_overlaps.size()))];
  for (int attempt = 0; attempt < attempts; ++attempt) {
    const double across = random.uniform(float(smallest_side), 1),
                 down = random.uniform(float(smallest_side), 1);
    CropWindow window;
    window.width = std::clamp(int(std::lround(image.width * across)), 1, image.width);
    window.height = std::clamp(int(std::lround(image.height * down)), 1, image.height);
    window.left = int(random.below(image.width - window.width + 1));
    window.top = int(random.below(image.height - window.height + 1));
    if (across > aspect_limit * down || down > aspect_limit * across) continue;
    if (objects.empty()) return window;
    const bool overlaps = std::any_of(objects.begin(), objects.end(),
                                      [&](const Edges& box) { return iou(box, window) >= least; });
    const bool holds_one = std::any_of(objects.begin(), objects.end(),
                                       [&](const Edges& box) { return holds_centre(window, box); });
    if (overlaps && holds_one) return window;
  }
  return {0, 0, image.width, image.height};
}

Image cut_out(const Image& image, const CropWindow& window) {
  Image part(window.width, window.height);
  for (int y = 0; y < window.height; ++y)
    std::copy_n(image.at(window.left, window.top + y), size_t(window.width) * 3, part.at(0, y));
  return part;
}

std::vector<Annotation> cut_out(const Image& image, std::span<const Annotation> annotations,
                                const CropWindow& window) {
  std::vector<Annotation> kept;
  for (const Annotation& annotation : annotations) {
    const Edges box = inside(annotation, image);
    const bool keeps = annotation.crowd ? common(box, window).area() > 0 : holds_centre(window, box);
    if (!keeps) continue;
    kept.push_back(annotation);
    kept.back().x -= window.left;
    kept.back().y -= window.top;
  }
  return kept;
}

}  // namespace fovea
