#pragma once
#include <string>

#include "train/evaluation/coco_evaluation.h"

namespace fovea {

// COCO's results format: [{"image_id":42,"category_id":18,"bbox":[x,y,w,h],"score":0.9}, ...]; what is
// written here also has the image's "file_name" after its id. Numerals in quotes and whole numbers with a
// decimal point are read as numbers. Reading throws Error naming the file, the entry and the field if the
// file is not JSON, a field is missing or of the wrong type, a number is not finite, or the data set does not
// have an image or a category. Writing is atomic; numbers keep the digits that read back the same.
DatasetDetections read_coco_results(const std::string& path, const DetectionDataset& truth);
void write_coco_results(const std::string& path, const DetectionDataset& truth,
                        const DatasetDetections& detections);

}  // namespace fovea
