#pragma once
#include <array>
#include <cstdint>

#include "core/random.h"
#include "train/data/image/image.h"

namespace fovea {

// MixUp for detectors (arXiv 1710.09412; "Bag of Freebies for Training Object Detection Neural Networks",
// arXiv 1902.04103, section 3.1): two images over each other, and the boxes of both. Every box counts the
// same in the loss, however faint its object, as in YOLOX (arXiv 2107.08430); the second paper weighs an
// object's loss by its image's share.

// The first image's share, from Beta(1.5, 1.5), the distribution that the second paper found best.
double mixup_share(Random& random);

// share * first + (1 - share) * second. Neither is scaled, so objects keep their shape: the images have the
// top left corner in common, and the result is as wide as the wider and as high as the higher. Where only one
// of them is, `background` takes the other's place.
Image mix(const Image& first, const Image& second, double share, const std::array<uint8_t, 3>& background);

}  // namespace fovea
