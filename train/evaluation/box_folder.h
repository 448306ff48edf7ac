#pragma once
#include <string>
#include <utility>

#include "train/evaluation/coco_evaluation.h"

namespace fovea {

// Reads ground truth and detections from two folders of text files, one file for each image, with the same
// name in both, and one box per line: "class x y width height" in the truths, "class score x y width height"
// in the detections, in pixels (the format that collections of VOC results use). Throws Error naming the
// file, the line and the field if a field is missing or not a finite number, a size is not positive, a score
// is outside 0 .. 1, there are detections for an image without ground truth, or there is no file at all. An
// image without a file of detections has none.
std::pair<DetectionDataset, DatasetDetections> read_box_folders(const std::string& truth_folder,
                                                                const std::string& detection_folder);

}  // namespace fovea
