#pragma once
#include <string>

#include "train/evaluation/coco_evaluation.h"

namespace fovea {

// The checks of every evaluation and every results file. Throws Error naming the image and the entry if there
// is not one list of detections for each image, a number is NaN or infinite, or a label, of a truth or of a
// detection, has no class.
void check_detections(const DetectionDataset& truth, const DatasetDetections& detections);

// A sentence if images have more objects than may be found in one, with the largest number; empty if none
// has.
std::string too_many_objects(const DetectionDataset& truth, int64_t max_detections);

}  // namespace fovea
