#pragma once
#include <span>
#include <vector>

#include "core/random.h"
#include "train/data/dataset.h"
#include "train/data/image/image.h"

namespace fovea {

// A part of an image, whole pixels.
struct CropWindow {
  int left = 0, top = 0, width = 0, height = 0;
};

// A random part as SSD draws it (arXiv 1512.02325, section 2.2, "Data augmentation"): sides of 0.3 to 1 of
// the image's (0.09 to 1 of its area), width / height of it 1/2 to 2 times the image's; and, as one of
// six ways with equal probability says, its overlap (IoU) with some object is at least 0.1, 0.3, 0.5, 0.7 or
// 0.9, or anything. The centre of at least one object lies in it where the image has objects. The whole
// image where 50 draws give no such part.
CropWindow random_crop(const Image& image, std::span<const Annotation> annotations, Random& random);

// The pixels of the window, which must lie in the image.
Image cut_out(const Image& image, const CropWindow& window);

// The annotations in pixels of the window: objects whose centre (of what lies in the image) is in it, crowd
// regions of which a part is. Their edges may lie outside.
std::vector<Annotation> cut_out(const Image& image, std::span<const Annotation> annotations,
                                const CropWindow& window);

}  // namespace fovea
