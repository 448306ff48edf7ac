#pragma once
#include <span>

#include "core/random.h"
#include "train/data/augment/crop.h"
#include "train/data/dataset.h"
#include "train/data/image/image.h"

namespace fovea {

// Random erasing (arXiv 1708.04896): a rectangle of 2 to 40 % of the area, its height / width 0.3 to 1 / 0.3,
// all of these uniform, at a random place, is filled with random bytes, which the paper found better than any
// one colour. The area is that of `within`, a part of the image and the place of the rectangle; where none of
// 100 draws fits, nothing changes. Reducing an image averages such bytes to grey.
void erase_random_part(Image& image, const CropWindow& within, Random& random);

// For a detector, the paper's "object-aware" kind: a rectangle in each object's box by itself, with this
// probability for each, at most 20 % of the box, so that what remains still shows what the object is. Crowd
// regions stay whole.
void erase_random_parts(Image& image, std::span<const Annotation> annotations, double probability,
                        Random& random);

}  // namespace fovea
