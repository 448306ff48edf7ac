#pragma once
#include "train/data/dataset.h"
#include "train/loop/config.h"

namespace fovea {

// Checks the labels for what makes the loss fall while AP stays at 0: classes without boxes, boxes that no
// anchor fits, many faults. Puts a sentence about each in front of train.warnings. Throws Error if no
// training image has a box.
void warn_before_training(DetectionDataset& train, const DetectionDataset& validation,
                          const TrainConfig& config);

}  // namespace fovea
