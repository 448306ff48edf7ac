#pragma once
#include "train/detection/detector.h"

namespace fovea {

// The detector's network in bytes, calibrated on `count` images of the data set, at equal distances in its
// list; on all where it has fewer. The same images give the same network. The detector must be in evaluation
// mode on the CPU. Throws where count is below 1, an image cannot be read, and as QuantizedNetwork does.
QuantizedNetwork quantize_detector(const Detector& detector, const DetectionDataset& dataset, int64_t count);

}  // namespace fovea
