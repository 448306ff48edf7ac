#pragma once
#include <array>
#include <cstdint>

#include "core/random.h"
#include "train/data/image/image.h"

namespace fovea {

// MixUp: two images over each other. A classifier learns both classes, each by its image's share
// (arXiv 1710.09412). A detector learns the boxes of both ("Bag of Freebies for Training Object Detection
// Neural Networks", arXiv 1902.04103, section 3.1). Every box counts the same in the loss, however faint its
// object, as in YOLOX (arXiv 2107.08430); the second paper weighs an object's loss by its image's share.

// The first image's share for a detector, from Beta(1.5, 1.5), the distribution that the second paper found
// best.
double mixup_share(Random& random);

// The first image's share for a classifier, from Beta(0.2, 0.2): the first paper learns ImageNet best with
// parameters from 0.1 to 0.4 (section 3.1). Two thirds of the shares are below 0.1 or above 0.9.
double classifier_mixup_share(Random& random);

// share * first + (1 - share) * second. Neither is scaled, so objects keep their shape: the images have the
// top left corner in common, and the result is as wide as the wider and as high as the higher. Where only one
// of them is, `background` takes the other's place.
Image mix(const Image& first, const Image& second, double share, const std::array<uint8_t, 3>& background);

}  // namespace fovea
