#pragma once
#include <string>

#include "train/evaluation/coco_evaluation.h"

namespace fovea {

// What every evaluation and every results file asks of its input. Throws Error naming the image and the entry
// where there is not one list of detections for each image, a number is NaN or infinite, or a label, of a
// truth or of a detection, has no class.
void check_detections(const DetectionDataset& truth, const DatasetDetections& detections);

// A sentence where images have more objects than may be found in one, with the largest number; empty where
// none has.
std::string too_many_objects(const DetectionDataset& truth, int64_t max_detections);

}  // namespace fovea
