#pragma once
#include <cstdint>

#include "core/random.h"

namespace fovea {

// A colour as an image stores it (sRGB).
struct Colour {
  float red = 0, green = 0, blue = 0;  // 0 to 1
};

// a at t = 0, b at t = 1.
inline Colour mix(const Colour& a, const Colour& b, float t) {
  return {a.red + (b.red - a.red) * t, a.green + (b.green - a.green) * t, a.blue + (b.blue - a.blue) * t};
}

// How far two colours are apart, 0 to sqrt(3).
float distance(const Colour& a, const Colour& b);

// Any hue; saturation and value (the largest channel) uniform in these ranges.
Colour random_colour(Random& random, float saturation_min, float saturation_max, float value_min,
                     float value_max);

// What is drawn on backgrounds and objects.
enum class TextureKind { flat, gradient, stripes, checker, noise, blobs };

// Two colours mixed by a pattern over the plane.
struct Texture {
  TextureKind kind = TextureKind::flat;
  Colour first, second;
  float period =
      16;  // pixels: of stripes and squares, the coarsest lumps of noise; a gradient's whole length
  float cosine = 1, sine = 0;  // direction of stripes and gradient
  float phase = 0;             // shifts the pattern, in periods
  uint32_t key = 0;            // picks the noise

  Colour at(float x, float y) const;  // in pixels
};

// A texture of this kind between two colours, everything else random; the period in pixels.
Texture random_texture(Random& random, TextureKind kind, const Colour& first, const Colour& second,
                       float period);

}  // namespace fovea
