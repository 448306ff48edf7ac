#pragma once
#include <string>
#include <utility>

#include "train/evaluation/coco_evaluation.h"

namespace fovea {

// Truth and detections from two folders of text files, one file for each image, with the same name in both,
// and one box a line: "class x y width height" in the truths, "class score x y width height" in the
// detections, in pixels (the format that collections of VOC results use). Throws Error naming the file, the
// line and the field: a field missing or not a finite number, a size that is not positive, a score outside 0
// .. 1, detections for an image without truth, no file at all. An image without a file of detections has
// none.
std::pair<DetectionDataset, DatasetDetections> read_box_folders(const std::string& truth_folder,
                                                                const std::string& detection_folder);

}  // namespace fovea
