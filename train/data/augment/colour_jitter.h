#pragma once
#include <array>

#include "core/random.h"
#include "train/data/image/image.h"

namespace fovea {

// How much the colours of training images vary; 0: not at all. A factor is uniform in
// [1 - value, 1 + value].
struct ColourJitter {
  double brightness = 0;  // 0 to 1: all values times a factor
  double contrast = 0;    // 0 to 1: distances from the image's mean grey times a factor
  double saturation = 0;  // 0 to 1: distances from the pixel's own grey times a factor
  double hue = 0;         // 0 to 0.5 turns: the pixel's chroma turned by an angle uniform in [-value, value]

  bool any() const { return brightness > 0 || contrast > 0 || saturation > 0 || hue > 0; }
};

// Red, green and blue from 0 to 255 to new ones, c -> matrix c + offset, cut off at 0 and 255. Each of the
// four changes is of this kind, and so are all together: one multiplication a pixel.
struct ColourMap {
  std::array<std::array<double, 3>, 3> matrix{{{1, 0, 0}, {0, 1, 0}, {0, 0, 1}}};  // rows: red, green, blue
  std::array<double, 3> offset{};
};

// The map of these four, in this order; `angle` in turns, `mean_grey` that of the image before the change.
// Grey is 0.299 red + 0.587 green + 0.114 blue (ITU-R BT.601); the hue turns in the plane of I and Q of YIQ
// (NTSC, as of FCC 47 CFR 73.682), which keeps that grey.
ColourMap colour_map(double brightness_factor, double contrast_factor, double saturation_factor, double angle,
                     double mean_grey);

double mean_grey(const Image& image);  // 0 to 255, the grey of colour_map()

// With random factors and a random angle; those of what is 0 are not drawn. Throws Error where a value is out
// of its range.
ColourMap random_colour_map(const ColourJitter& jitter, const Image& image, Random& random);

}  // namespace fovea
