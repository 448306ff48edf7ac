#include "train/data/synth/synth_texture.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace fovea {
namespace {

constexpr float two_pi = 2 * std::numbers::pi_v<float>;

// A number of [0, 1) for each point of a grid (the last steps of MurmurHash3 scatter the bits).
float grid_value(int x, int y, uint32_t key) {
  uint32_t h = uint32_t(x) * 0x9E3779B1u ^ uint32_t(y) * 0x85EBCA77u ^ key;
  h = (h ^ h >> 16) * 0x85EBCA6Bu;
  h = (h ^ h >> 13) * 0xC2B2AE35u;
  return float((h ^ h >> 16) >> 8) * 0x1p-24f;
}

float mix(float a, float b, float t) { return a + (b - a) * t; }

// The grid's values joined smoothly.
float value_noise(float x, float y, uint32_t key) {
  const float floor_x = std::floor(x), floor_y = std::floor(y);
  const auto ease = [](float t) { return t * t * (3 - 2 * t); };
  const float across = ease(x - floor_x), down = ease(y - floor_y);
  const int i = int(floor_x), j = int(floor_y);
  const float top = mix(grid_value(i, j, key), grid_value(i + 1, j, key), across);
  const float bottom = mix(grid_value(i, j + 1, key), grid_value(i + 1, j + 1, key), across);
  return mix(top, bottom, down);
}

// Lumps of one period and finer ones, each half as high and half as wide as those before.
float fractal_noise(float x, float y, uint32_t key) {
  float sum = 0, height = 4 / 7.0f;
  for (uint32_t octave = 0; octave < 3; ++octave, height /= 2, x *= 2, y *= 2)
    sum += height * value_noise(x, y, key + octave * 0x68E31DA4u);
  return sum;
}

// -1 and 1 in turn, one period a pair, with an edge about a pixel wide instead of a jump.
float square_wave(float turns, float period) {
  return std::clamp(std::sin(two_pi * turns) * period / 4, -1.0f, 1.0f);
}

}  // namespace

float distance(const Colour& a, const Colour& b) {
  const float red = a.red - b.red, green = a.green - b.green, blue = a.blue - b.blue;
  return std::sqrt(red * red + green * green + blue * blue);
}

Colour random_colour(Random& random, float saturation_min, float saturation_max, float value_min,
                     float value_max) {
  const float hue = random.uniform(0, 6);
  const float saturation = random.uniform(saturation_min, saturation_max);
  const float value = random.uniform(value_min, value_max);
  const auto channel = [&](float peak) {
    const float away = 3 - std::abs(std::fmod(hue - peak + 6, 6.0f) - 3);  // 0 at the peak, 3 opposite
    return value * (1 - saturation * std::clamp(away - 1, 0.0f, 1.0f));
  };
  return {channel(0), channel(2), channel(4)};
}

Colour Texture::at(float x, float y) const {
  const float along = (x * cosine + y * sine) / period + phase,
              side = (y * cosine - x * sine) / period + phase;
  float t = 0;
  switch (kind) {
    case TextureKind::flat:
      break;
    case TextureKind::gradient:
      t = std::clamp(along + 0.5f, 0.0f, 1.0f) + 0.15f * (value_noise(along * 12, side * 12, key) - 0.5f);
      break;
    case TextureKind::stripes:
      t = 0.5f + 0.5f * square_wave(along, period);
      break;
    case TextureKind::checker:
      t = 0.5f + 0.5f * square_wave(along, period) * square_wave(side, period);
      break;
    case TextureKind::noise:
      t = fractal_noise(along, side, key);
      break;
    case TextureKind::blobs:
      t = std::clamp((value_noise(along, side, key) - 0.5f) * 8 + 0.5f, 0.0f, 1.0f);
      break;
  }
  return mix(first, second, t);
}

Texture random_texture(Random& random, TextureKind kind, const Colour& first, const Colour& second,
                       float period) {
  const float angle = random.uniform(0, two_pi);
  Texture texture{kind, first, second, period, std::cos(angle), std::sin(angle)};
  // A gradient is not shifted: its middle stays in the middle.
  if (kind != TextureKind::gradient) texture.phase = random.uniform();
  texture.key = random.bits();
  return texture;
}

}  // namespace fovea
