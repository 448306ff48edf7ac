#pragma once
#include <cstdint>
#include <optional>
#include <vector>

#include "models/normalization.h"
#include "train/data/augment/colour_jitter.h"
#include "train/data/image/image.h"

namespace fovea {

// Where the pixels of the output lie along one axis of the image: the centre of pixel i at origin + (i +
// 1/2) * step, in pixels of the image. A negative step reads it backwards.
struct SampleLine {
  double origin, step;
  int count;
};

// How an image is drawn into the top left corner of a part of a network's input; the rest of the part is 0.
struct Resampling {
  SampleLine columns, rows;
  std::optional<ColourMap> colours;
  int left, top, width, height;  // the part
  int input_width;
  Normalization normalization = {};  // set by InputImage, which knows the network's
};

// Output pixel i is the sum over t of weights[i * taps + t] * source[first[i] + t].
struct TriangleFilter {
  int taps;
  std::vector<int32_t> first;
  std::vector<float> weights;
  int begin, end;  // the source pixels that are read
};

// A triangle as wide as two steps, or as two source pixels where the step is smaller (PIL's BILINEAR): plain
// linear interpolation when enlarging, and no source pixel falls between two output pixels when reducing. At
// the edge of the image the triangle is cut off and what remains weighs 1.
TriangleFilter triangle_filter(int source_size, const SampleLine& line);

// Draws the image, normalised, into `input`, rows of input_width x 3 numbers.
void resample(const Image& image, const Resampling& how, float* input);

}  // namespace fovea
