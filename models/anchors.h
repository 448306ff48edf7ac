#pragma once
#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "core/tensor.h"
#include "models/box.h"

namespace fovea {

// (width, height) factors of one anchor shape.
using AspectFactors = std::vector<std::array<double, 2>>;

// The anchors on the cells of the feature pyramid (EfficientDet paper, section 5.1; effdet's anchors.py). An
// anchor's side is anchor_scale * stride * 2^(octave / scales_per_octave) * factor.
struct AnchorOptions {
  int min_level = 3, max_level = 7;  // level l has cells of about 2^l pixels
  int scales_per_octave = 3;
  AspectFactors aspect_factors = {{1, 1}, {1.4, 0.7}, {0.7, 1.4}};
  double anchor_scale = 4;

  int per_cell() const { return scales_per_octave * int(aspect_factors.size()); }
  bool operator==(const AnchorOptions&) const = default;
};

// Cells of one level of the pyramid.
struct LevelSize {
  int level = 0, height = 0, width = 0;
  bool operator==(const LevelSize&) const = default;
};

// Throws Error unless 1 <= min_level <= max_level <= 12, 1 <= scales_per_octave <= 16, and anchor_scale and
// at least one pair of aspect factors are positive and finite.
void check(const AnchorOptions& options);

// The levels min_level .. max_level of a height x width image. Each level halves the one below, rounding up,
// as a "SAME" convolution of stride 2 does; so any size >= 1 is valid and odd sizes occur.
std::vector<LevelSize> level_sizes(int height, int width, const AnchorOptions& options);

// Sum over the levels of cells * per_cell().
int64_t count_anchors(int height, int width, const AnchorOptions& options);

// All anchors of a height x width image in pixels of that image, in the order of the network's outputs:
// level, y, x, octave, aspect. Anchors reach over the image's edges. The stride is a real number, image size
// / cells, computed for each axis separately: if a size is not a multiple of 2^level, both the spacing and
// the sides of the anchors follow it, so cells tile the image exactly and an anchor of factors (1, 1) need
// not be quite square. Centre of cell i: stride / 2 + i * stride. Computed in double, rounded to float at the
// end, the same bits as effdet.
std::vector<Box> generate_anchors(int height, int width, const AnchorOptions& options);

// The same as numbers: (anchors, 4) float32, rows ymin, xmin, ymax, xmax.
Tensor anchor_tensor(std::span<const Box> anchors);

// The published scale, 4, is for images of 512 pixels and more. Objects shrink with the input but strides do
// not, so below that the scale also shrinks: 4 * size / 512, i.e. 2 at 256 and 1 at 128. Never less than 1,
// where the square anchors of neighbouring cells just touch. image_size: the longer side in pixels, >= 1.
double default_anchor_scale(int image_size);

// Factors (sqrt(r), 1 / sqrt(r)) of an aspect ratio r = width / height: the area of the anchor stays the
// same. The published (1.4, 0.7) is r = 2 rounded to one digit. Throws Error unless r is positive and finite.
std::array<double, 2> aspect_factors(double ratio);

// A user's list of aspect ratios, separated by commas: each a ratio width / height ("2"), or the two factors
// ("1.4x0.7"). "1,1.4x0.7,0.7x1.4" is the published list.
AspectFactors parse_aspect_ratios(const std::string& text);

// A user's anchor scale: one positive number.
double parse_anchor_scale(const std::string& text);

}  // namespace fovea
