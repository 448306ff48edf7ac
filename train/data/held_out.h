#pragma once
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "train/data/dataset.h"

namespace fovea {

// Whether `split` is train or val of a data set whose only split is called `default` or has no name: then the
// two are drawn from it.
bool is_drawn(const std::string& folder, const std::string& split);

// Which images are held out to measure on, drawn by the seed: every fifth, and every fifth of those that hold
// an object of a class. Groups of images that look alike (alike_pairs, image_scan.h) stay together. `groups`:
// the number of each image's group. At least one image is held out, and one is not; throws Error where that
// cannot be.
std::vector<bool> held_out_images(const DetectionDataset& dataset, const std::vector<size_t>& groups,
                                  uint64_t seed);

// What is drawn of the only split: to learn from, and to measure on. Decodes all images. What is assumed is a
// sentence among the warnings of the first; the second has none.
std::pair<DetectionDataset, DetectionDataset> draw_splits(const std::string& folder, uint64_t seed,
                                                          const std::vector<std::string>& class_names = {});

// open_dataset(), or the part that is drawn.
DetectionDataset open_or_draw(const std::string& folder, const std::string& split, uint64_t seed,
                              const std::vector<std::string>& class_names = {});

}  // namespace fovea
