#pragma once
#include <string>
#include <vector>

#include "train/data/dataset.h"
#include "train/data/image/image.h"

namespace fovea {

// Up to 16 images, spread evenly over all, in rows of up to four tiles of 400 pixels' width, each with its
// boxes and their classes drawn in. Images that cannot be decoded are skipped. Throws Error if none can be
// decoded.
Image draw_mosaic(const std::vector<const LabelledImage*>& images,
                  const std::vector<std::string>& class_names);

// Images in rows of up to four, each in a tile of width x height pixels, at its top left corner, cut off if
// it is larger. Throws Error if there is no image.
Image arrange(const std::vector<Image>& images, int width, int height);

}  // namespace fovea
