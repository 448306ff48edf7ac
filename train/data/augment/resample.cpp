#include "train/data/augment/resample.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "core/simd.h"

namespace fovea {
namespace {

// Red, green, blue and one lane that is thrown away: a pixel as a register of four floats.
typedef float Pixel __attribute__((vector_size(16)));

// row[i] = the weighted sum of source[i + t * stride] over t.
void mix_rows(const uint8_t* source, size_t stride, const float* weights, int taps, float* row, size_t n) {
  std::fill_n(row, n, 0.0f);
  for (int t = 0; t < taps; ++t, source += stride) {
    const float weight = weights[t];
    if (weight == 0) continue;
#pragma omp simd
    for (size_t i = 0; i < n; ++i) row[i] += weight * float(source[i]);
  }
}

// A ColourMap for pixels as registers: the columns of its matrix, and the offset.
struct PixelMap {
  Pixel red, green, blue, offset;

  explicit PixelMap(const ColourMap& map)
      : red(column(map, 0)), green(column(map, 1)), blue(column(map, 2)), offset(pixel(map.offset)) {}
  Pixel operator()(Pixel p) const {
    constexpr Pixel black{}, white{255, 255, 255, 255};
    p = p[0] * red + p[1] * green + p[2] * blue + offset;
    p = p < black ? black : p;
    return p > white ? white : p;
  }

 private:
  static Pixel pixel(const std::array<double, 3>& c) {
    return Pixel{float(c[0]), float(c[1]), float(c[2]), 0};
  }
  static Pixel column(const ColourMap& map, size_t i) {
    return pixel({map.matrix[0][i], map.matrix[1][i], map.matrix[2][i]});
  }
};

// One row of the output from a row of the image that starts at column filter.begin; one float behind the
// row is also read. The colours change, where they do, after filtering: both are linear.
void mix_columns(const float* row, const TriangleFilter& filter, const std::optional<PixelMap>& colours,
                 const Normalization& normalization, float* output) {
  const Pixel gain{normalization.gain(0), normalization.gain(1), normalization.gain(2), 0};
  const Pixel shift{normalization.shift(0), normalization.shift(1), normalization.shift(2), 0};
  for (size_t x = 0; x < filter.first.size(); ++x) {
    const float* source = row + size_t(filter.first[x] - filter.begin) * 3;
    const float* weights = &filter.weights[x * filter.taps];
    Pixel sum{};
    for (int t = 0; t < filter.taps; ++t) sum += weights[t] * load<Pixel>(source + size_t(t) * 3);
    if (colours) sum = (*colours)(sum);
    sum = sum * gain + shift;
    std::memcpy(output + x * 3, &sum, 3 * sizeof(float));
  }
}

}  // namespace

TriangleFilter triangle_filter(int source_size, const SampleLine& line) {
  const double support = std::max(std::abs(line.step), 1.0);
  const int taps = std::min(source_size, int(std::min(2 * support, double(source_size))) + 1);
  TriangleFilter filter{taps, {}, std::vector<float>(size_t(line.count) * taps), source_size, 0};
  for (int i = 0; i < line.count; ++i) {
    const double centre = line.origin + (i + 0.5) * line.step;
    const int first = int(std::clamp(std::ceil(centre - support - 0.5), 0.0, double(source_size - taps)));
    const auto weight = [&](int t) {
      return std::max(0.0, 1 - std::abs(first + t + 0.5 - centre) / support);
    };
    double sum = 0;
    for (int t = 0; t < taps; ++t) sum += weight(t);
    for (int t = 0; t < taps; ++t) filter.weights[size_t(i) * taps + t] = float(weight(t) / sum);
    filter.first.push_back(first);
    filter.begin = std::min(filter.begin, first);
    filter.end = std::max(filter.end, first + taps);
  }
  return filter;
}

// Rows are mixed first: that pass reads the bytes in order, and all that it leaves is one row in the
// first-level cache.
void resample(const Image& image, const Resampling& how, float* input) {
  const TriangleFilter across = triangle_filter(image.width, how.columns),
                       down = triangle_filter(image.height, how.rows);
  std::optional<PixelMap> colours;
  if (how.colours) colours.emplace(*how.colours);
  const size_t used = size_t(across.end - across.begin) * 3;
  std::vector<float> row(used + 1);
  for (int y = 0; y < how.height; ++y) {
    float* output = input + (size_t(how.top + y) * how.input_width + how.left) * 3;
    const int filled = y < how.rows.count ? how.columns.count : 0;
    if (filled) {
      mix_rows(image.at(across.begin, down.first[size_t(y)]), size_t(image.width) * 3,
               &down.weights[size_t(y) * down.taps], down.taps, row.data(), used);
      mix_columns(row.data(), across, colours, how.normalization, output);
    }
    std::fill(output + size_t(filled) * 3, output + size_t(how.width) * 3, 0.0f);
  }
}

}  // namespace fovea
