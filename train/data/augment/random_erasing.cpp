#include "train/data/augment/random_erasing.h"

#include <algorithm>
#include <cmath>

namespace fovea {
namespace {

constexpr float smallest_area = 0.02f, largest_area = 0.4f, largest_area_of_object = 0.2f;
constexpr float smallest_aspect = 0.3f;
constexpr int attempts = 100;

void erase(Image& image, const CropWindow& within, float largest, Random& random) {
  for (int attempt = 0; attempt < attempts; ++attempt) {
    const double area = double(within.width) * within.height * random.uniform(smallest_area, largest);
    const double aspect = random.uniform(smallest_aspect, 1 / smallest_aspect);
    const int width = int(std::sqrt(area / aspect)), height = int(std::sqrt(area * aspect));
    if (width < 1 || height < 1 || width > within.width || height > within.height) continue;
    const int left = within.left + int(random.below(within.width - width + 1)),
              top = within.top + int(random.below(within.height - height + 1));
    for (int y = top; y < top + height; ++y)
      for (int x = left; x < left + width; ++x) {
        const uint32_t colour = random.bits();
        for (int c = 0; c < 3; ++c) image.at(x, y)[c] = uint8_t(colour >> (8 * c));
      }
    return;
  }
}

}  // namespace

void erase_random_part(Image& image, const CropWindow& within, Random& random) {
  erase(image, within, largest_area, random);
}

void erase_random_parts(Image& image, std::span<const Annotation> annotations, double probability,
                        Random& random) {
  for (const Annotation& a : annotations) {
    if (a.crowd || !random.chance(probability)) continue;
    const int left = int(std::clamp(std::ceil(a.x), 0.0, double(image.width))),
              top = int(std::clamp(std::ceil(a.y), 0.0, double(image.height))),
              right = int(std::clamp(std::floor(a.x + a.width), 0.0, double(image.width))),
              bottom = int(std::clamp(std::floor(a.y + a.height), 0.0, double(image.height)));
    if (right > left && bottom > top)
      erase(image, {left, top, right - left, bottom - top}, largest_area_of_object, random);
  }
}

}  // namespace fovea
