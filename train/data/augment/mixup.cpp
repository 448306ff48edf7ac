#include "train/data/augment/mixup.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace fovea {

// Beta(3/2, 3/2) has the density sqrt(x (1 - x)) but for a factor, a half circle: it is how far along a
// diameter a point lies that is uniform in a disc.
double mixup_share(Random& random) {
  const double radius = std::sqrt(double(random.uniform())) / 2;
  return 0.5 + radius * std::cos(2 * std::numbers::pi * double(random.uniform()));
}

// Joehnk's method: where U^(1/a) + V^(1/b) is at most 1, the first summand's share of the sum is Beta(a, b).
double classifier_mixup_share(Random& random) {
  constexpr double exponent = 1 / 0.2;
  for (;;) {
    const double first = std::pow(double(random.uniform()), exponent),
                 sum = first + std::pow(double(random.uniform()), exponent);
    if (sum > 0 && sum <= 1) return first / sum;
  }
}

Image mix(const Image& first, const Image& second, double share, const std::array<uint8_t, 3>& background) {
  Image mixed(std::max(first.width, second.width), std::max(first.height, second.height));
  const auto pixel = [&](const Image& image, int x, int y) {
    return x < image.width && y < image.height ? image.at(x, y) : background.data();
  };
  for (int y = 0; y < mixed.height; ++y)
    for (int x = 0; x < mixed.width; ++x) {
      const uint8_t *a = pixel(first, x, y), *b = pixel(second, x, y);
      for (int c = 0; c < 3; ++c) mixed.at(x, y)[c] = uint8_t(std::lround(share * a[c] + (1 - share) * b[c]));
    }
  return mixed;
}

}  // namespace fovea
