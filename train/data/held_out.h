#pragma once
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "train/data/dataset.h"

namespace fovea {

// Whether `split` is train or val of a data set whose only split is called `default` or has no name: both are
// then drawn from it.
bool is_drawn(const std::string& folder, const std::string& split);

// Whether each image is held out for validation, drawn by the seed: every fifth, and every fifth of those
// that contain an object of a class. Groups of images that look alike (alike_pairs, image_scan.h) stay
// together. `groups` holds the number of each image's group. At least one image is held out, and one is not;
// throws Error if that is impossible.
std::vector<bool> held_out_images(const DetectionDataset& dataset, const std::vector<size_t>& groups,
                                  uint64_t seed);

// The training and the validation images drawn from the only split. Decodes all images. A warning of the
// first data set states what was assumed; the second has no warnings.
std::pair<DetectionDataset, DetectionDataset> draw_splits(const std::string& folder, uint64_t seed,
                                                          const std::vector<std::string>& class_names = {});

// open_dataset(), or the drawn part of the only split.
DetectionDataset open_or_draw(const std::string& folder, const std::string& split, uint64_t seed,
                              const std::vector<std::string>& class_names = {});

}  // namespace fovea
