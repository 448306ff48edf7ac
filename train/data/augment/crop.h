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

// A random part as SSD draws it (arXiv 1512.02325, section 2.2, "Data augmentation"): its sides are 0.3
// to 1 of the image's (its area at least 0.09), its width / height is 1/2 to 2 times the image's, and its
// overlap (IoU) with some object is at least 0.1, 0.3, 0.5, 0.7 or 0.9, or anything: one of these six, each
// as likely. The centre of at least one object lies in it where the image has objects. Returns the whole
// image where 50 draws give no such part.
CropWindow random_crop(const Image& image, std::span<const Annotation> annotations, Random& random);

// The pixels of the window, which must lie in the image.
Image cut_out(const Image& image, const CropWindow& window);

// The annotations in pixels of the window: objects that have the centre of what the image shows of them in
// it, and crowd regions that have a part in it. Their edges may lie outside.
std::vector<Annotation> cut_out(const Image& image, std::span<const Annotation> annotations,
                                const CropWindow& window);

}  // namespace fovea
