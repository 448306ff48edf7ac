#pragma once
#include <string>
#include <vector>

#include "train/data/dataset.h"
#include "train/data/problem.h"

namespace fovea {

// Finds boxes whose numbers do not follow the format: x, y, width, height written as edges, the centre as a
// corner, x and y exchanged, pixels instead of shares. Such a data set can be read without an error, but a
// network learns nothing from it. Each possible order is tried on all boxes. It is a fault if the format's
// own order leaves more than 3 % (and 10) of them outside their images or without an area, and another order
// less than 0.5 %.
std::vector<Problem> check_box_order(DatasetFormat format, const std::vector<RawBox>& boxes);

// Finds pairs of boxes in one image that overlap with IoU >= 0.9: one object labelled twice.
std::vector<Problem> find_duplicate_boxes(const DetectionDataset& dataset);

// Finds images that lack objects of a class, or have far fewer, although nearly all images (90 % of at least
// 20) have one.
std::vector<Problem> find_unlabelled(const std::vector<const LabelledImage*>& images,
                                     const std::vector<std::string>& class_names);

}  // namespace fovea
