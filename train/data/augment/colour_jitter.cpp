#include "train/data/augment/colour_jitter.h"

#include <cmath>
#include <numbers>

#include "core/error.h"

namespace fovea {
namespace {

using Matrix = std::array<std::array<double, 3>, 3>;

constexpr std::array<double, 3> grey_weights{0.299, 0.587, 0.114};
constexpr Matrix to_yiq{{{0.299, 0.587, 0.114}, {0.5959, -0.2746, -0.3213}, {0.2115, -0.5227, 0.3112}}};

Matrix product(const Matrix& a, const Matrix& b) {
  Matrix c{};
  for (size_t i = 0; i < 3; ++i)
    for (size_t j = 0; j < 3; ++j)
      for (size_t k = 0; k < 3; ++k) c[i][j] += a[i][k] * b[k][j];
  return c;
}

// By cofactors.
Matrix inverse(const Matrix& m) {
  Matrix result;
  const auto cofactor = [&](size_t i, size_t j) {
    const size_t a = (i + 1) % 3, b = (i + 2) % 3, c = (j + 1) % 3, d = (j + 2) % 3;
    return m[a][c] * m[b][d] - m[a][d] * m[b][c];
  };
  const double determinant = m[0][0] * cofactor(0, 0) + m[0][1] * cofactor(0, 1) + m[0][2] * cofactor(0, 2);
  for (size_t i = 0; i < 3; ++i)
    for (size_t j = 0; j < 3; ++j) result[j][i] = cofactor(i, j) / determinant;
  return result;
}

void follow_by(ColourMap& map, const Matrix& matrix) {
  std::array<double, 3> offset{};
  for (size_t i = 0; i < 3; ++i)
    for (size_t k = 0; k < 3; ++k) offset[i] += matrix[i][k] * map.offset[k];
  map.matrix = product(matrix, map.matrix);
  map.offset = offset;
}

Matrix scaled(double factor) { return {{{factor, 0, 0}, {0, factor, 0}, {0, 0, factor}}}; }

}  // namespace

ColourMap colour_map(double brightness_factor, double contrast_factor, double saturation_factor, double angle,
                     double mean_grey) {
  ColourMap map;
  follow_by(map, scaled(brightness_factor * contrast_factor));
  for (double& offset : map.offset) offset += (1 - contrast_factor) * brightness_factor * mean_grey;
  Matrix saturation = scaled(saturation_factor);
  for (auto& row : saturation)
    for (size_t k = 0; k < 3; ++k) row[k] += (1 - saturation_factor) * grey_weights[k];
  follow_by(map, saturation);
  if (angle != 0) {
    const double c = std::cos(2 * std::numbers::pi * angle), s = std::sin(2 * std::numbers::pi * angle);
    const Matrix turn{{{1, 0, 0}, {0, c, -s}, {0, s, c}}};
    follow_by(map, product(inverse(to_yiq), product(turn, to_yiq)));
  }
  return map;
}

double mean_grey(const Image& image) {
  std::array<int64_t, 3> sums{};
  for (size_t i = 0; i + 2 < image.pixels.size(); i += 3)
    for (size_t c = 0; c < 3; ++c) sums[c] += image.pixels[i + c];
  double grey = 0;
  for (size_t c = 0; c < 3; ++c) grey += grey_weights[c] * double(sums[c]);
  return grey / (double(image.width) * image.height);
}

ColourMap random_colour_map(const ColourJitter& jitter, const Image& image, Random& random) {
  const auto factor = [&](const char* name, double value) {
    require(value >= 0 && value <= 1, "[colour_jitter] {} is {}: give 0 to 1", name, value);
    return value > 0 ? double(random.uniform(float(1 - value), float(1 + value))) : 1;
  };
  require(jitter.hue >= 0 && jitter.hue <= 0.5, "[colour_jitter] hue is {}: give 0 to 0.5 turns", jitter.hue);
  const double brightness = factor("brightness", jitter.brightness);
  const double contrast = factor("contrast", jitter.contrast);
  const double saturation = factor("saturation", jitter.saturation);
  const double angle = jitter.hue > 0 ? double(random.uniform(float(-jitter.hue), float(jitter.hue))) : 0;
  return colour_map(brightness, contrast, saturation, angle, jitter.contrast > 0 ? mean_grey(image) : 0);
}

}  // namespace fovea
