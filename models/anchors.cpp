#include "models/anchors.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>
#include <string_view>

#include "core/error.h"

namespace fovea {
namespace {

bool positive(double x) { return std::isfinite(x) && x > 0; }

// The whole of `text` as a number greater than 0.
std::optional<double> positive_number(std::string_view text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || !positive(value)) return std::nullopt;
  return value;
}

}  // namespace

void check(const AnchorOptions& options) {
  require(1 <= options.min_level && options.min_level <= options.max_level && options.max_level <= 12,
          "[anchors] the levels are {} to {}: give 1 <= min_level <= max_level <= 12", options.min_level,
          options.max_level);
  require(1 <= options.scales_per_octave && options.scales_per_octave <= 16,
          "[anchors] scales_per_octave is {}: give 1 to 16", options.scales_per_octave);
  require(positive(options.anchor_scale),
          "[anchors] anchor_scale is {}: give a number greater than 0 (4 is the published one)",
          options.anchor_scale);
  require(!options.aspect_factors.empty(),
          "[anchors] the list of aspect factors is empty: give at least one (width, height) pair");
  for (const auto& [width, height] : options.aspect_factors)
    require(positive(width) && positive(height),
            "[anchors] the aspect factors ({}, {}) are not both greater than 0: give (width, height) as in "
            "(1.4, 0.7)",
            width, height);
}

std::vector<LevelSize> level_sizes(int height, int width, const AnchorOptions& options) {
  check(options);
  require(height >= 1 && width >= 1, "[anchors] the image is {} x {} pixels: both sides must be at least 1",
          height, width);
  std::vector<LevelSize> sizes;
  for (int level = 1; level <= options.max_level; ++level) {
    height = (height - 1) / 2 + 1;  // ceil(x / 2), without overflow
    width = (width - 1) / 2 + 1;
    if (level >= options.min_level) sizes.push_back({level, height, width});
  }
  return sizes;
}

int64_t count_anchors(int height, int width, const AnchorOptions& options) {
  int64_t cells = 0;
  for (const LevelSize& level : level_sizes(height, width, options))
    cells += int64_t(level.height) * level.width;
  return cells * options.per_cell();
}

std::vector<Box> generate_anchors(int height, int width, const AnchorOptions& options) {
  std::vector<Box> anchors;
  anchors.reserve(size_t(count_anchors(height, width, options)));
  for (const LevelSize& level : level_sizes(height, width, options)) {
    const double stride_y = double(height) / level.height, stride_x = double(width) / level.width;

    struct HalfSize {
      double y, x;
    };
    std::vector<HalfSize> half;  // of each anchor of a cell
    for (int octave = 0; octave < options.scales_per_octave; ++octave)
      for (const auto& [width_factor, height_factor] : options.aspect_factors) {
        const double scale = std::pow(2.0, double(octave) / options.scales_per_octave);
        half.push_back({options.anchor_scale * stride_y * scale * height_factor / 2,
                        options.anchor_scale * stride_x * scale * width_factor / 2});
      }

    for (int i = 0; i < level.height; ++i)
      for (int j = 0; j < level.width; ++j) {
        const double y = stride_y / 2 + i * stride_y, x = stride_x / 2 + j * stride_x;
        for (const HalfSize& h : half)
          anchors.push_back({float(y - h.y), float(x - h.x), float(y + h.y), float(x + h.x)});
      }
  }
  return anchors;
}

double default_anchor_scale(int image_size) {
  require(image_size >= 1, "[anchors] the image size is {}: it must be at least 1 pixel", image_size);
  return std::clamp(4.0 * image_size / 512, 1.0, 4.0);
}

std::array<double, 2> aspect_factors(double ratio) {
  require(positive(ratio), "[anchors] the aspect ratio {} is not greater than 0: give width / height, e.g. 2",
          ratio);
  return {std::sqrt(ratio), 1 / std::sqrt(ratio)};
}

AspectFactors parse_aspect_ratios(const std::string& text) {
  AspectFactors factors;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t comma = std::min(text.find(',', begin), text.size());
    const std::string_view entry(text.data() + begin, comma - begin);
    const size_t cross = std::min(entry.find('x'), entry.size());
    const auto first = positive_number(entry.substr(0, cross));
    const auto second = cross < entry.size() ? positive_number(entry.substr(cross + 1)) : first;
    require(first && second,
            "[anchors] '{}' in the aspect ratios '{}' is neither a ratio width / height greater than 0, like "
            "2, nor a pair "
            "of factors, like 1.4x0.7",
            entry, text);
    factors.push_back(cross < entry.size() ? std::array{*first, *second} : aspect_factors(*first));
    begin = comma + 1;
  }
  return factors;
}

double parse_anchor_scale(const std::string& text) {
  const auto scale = positive_number(text);
  require(scale.has_value(),
          "[anchors] the anchor scale '{}' is not a number greater than 0: 4 is the published one", text);
  return *scale;
}

Tensor anchor_tensor(std::span<const Box> anchors) {
  Tensor edges({int64_t(anchors.size()), 4});
  float* to = edges.data<float>();
  for (const Box& a : anchors)
    for (const float edge : {a.ymin, a.xmin, a.ymax, a.xmax}) *to++ = edge;
  return edges;
}

}  // namespace fovea
