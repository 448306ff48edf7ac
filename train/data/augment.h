#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "core/random.h"
#include "models/box.h"
#include "models/postprocess.h"
#include "train/data/dataset.h"
#include "train/data/image.h"

namespace fovea {

// A picture made ready for a network, with the boxes that came along, in pixels of the network's input.
struct PreparedImage {
  std::vector<Box> boxes;
  std::vector<int32_t> labels;  // one for each box
  std::vector<Box> crowds;      // crowd regions
  ImageFrame frame;             // how to map detections back to the original image
};

struct AugmentOptions {
  bool horizontal_flip = true;  // with probability 1/2
  bool vertical_flip =
      false;  // with probability 1/2; for pictures that have no up and down: cells, aerial photographs
  // EfficientDet's scale jitter: the factor on the letterboxed size, uniform; 1 and 1: none.
  double scale_min = 0.1, scale_max = 2.0;
};

// Letterbox: scaled to fit into height x width with its aspect kept, put in the top left corner, the rest
// filled with the mean colour, 0 after normalisation (google/automl dataloader.py). `pixels` (height
// x width x 3) receives the picture normalised by ImageNet's mean and standard deviation. Downscaling filters
// (a triangle of two steps' width), so small objects do not flicker. Boxes without area after clipping to the
// image are left out.
PreparedImage prepare_for_evaluation(const Image& image, std::span<const Annotation> annotations, int height,
                                     int width, std::span<float> pixels);

// The same after the published augmentation: flip (the vertical one is ours); a random factor on the
// letterbox scale; where the scaled picture is larger than the input, a random crop of it; boxes clipped to
// the input and left out where less than a pixel remains (google/automl dataloader.py). Its random numbers
// come from `random` alone.
PreparedImage prepare_for_training(const Image& image, std::span<const Annotation> annotations, int height,
                                   int width, const AugmentOptions& options, Random& random,
                                   std::span<float> pixels);

// For a classifier, square: training cuts out a random part of 8 to 100 % of the area, aspect 3/4 to 4/3, and
// flips (Inception's crop); evaluation scales the shorter side to size / 0.875 and takes the centre.
void prepare_for_classification(const Image& image, int size, bool training, Random& random,
                                std::span<float> pixels);

}  // namespace fovea
