#pragma once
#include <string>

#include "train/evaluation/coco_evaluation.h"

namespace fovea {

// COCO's results format: [{"image_id":42,"category_id":18,"bbox":[x,y,w,h],"score":0.9}, ...]; with the
// image's "file_name" behind its id where it is written here.
// Numerals in quotes and whole numbers with a decimal point are taken as the numbers that they are. Reading
// throws Error naming the file, the entry and the field: not JSON, a field missing or of the wrong type, a
// number that is not finite, an image or a category that the data set does not have. Writing is atomic;
// numbers keep the digits that read back the same.
DatasetDetections read_coco_results(const std::string& path, const DetectionDataset& truth);
void write_coco_results(const std::string& path, const DetectionDataset& truth,
                        const DatasetDetections& detections);

}  // namespace fovea
