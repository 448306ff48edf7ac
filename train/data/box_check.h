#pragma once
#include <string>
#include <vector>

#include "train/data/dataset.h"
#include "train/data/problem.h"

namespace fovea {

// Boxes whose numbers are not what the format says: x, y, width, height written as edges, the centre as a
// corner, x and y exchanged, pixels in place of shares. Such a data set is read without an error, and nothing
// is learned from it. Each possible order is tried on all boxes: where the format's own leaves more than 3 %
// (and 10) of them outside their images or without an area, and another one less than 0.5 %, that is a
// fault.
std::vector<Problem> check_box_order(DatasetFormat format, const std::vector<RawBox>& boxes);

// Pairs of boxes in one image that overlap with IoU >= 0.9: one object labelled twice.
std::vector<Problem> find_duplicate_boxes(const DetectionDataset& dataset);

// Images that lack objects of a class, or have far fewer, where nearly all images (90 % of at least 20)
// have one.
std::vector<Problem> find_unlabelled(const std::vector<const LabelledImage*>& images,
                                     const std::vector<std::string>& class_names);

}  // namespace fovea
