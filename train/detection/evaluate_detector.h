#pragma once
#include <span>
#include <string>

#include "train/detection/detector.h"

namespace fovea {

// Evaluates a detector on a data set and returns the 12 COCO figures, those of each class, VOC's AP50 and its
// mistakes as text, and the first of these in `figures` if it is given. config.max_detections boxes of an
// image count. If `folder` is not empty, writes report.html there, with curves from the folder's metrics.csv
// if it has one, pictures/*.jpg, detections.json (COCO results) and mistakes.csv (errors of each image). The
// processes of a group share the work, and only one of them has a folder. `views` are those of each image
// that the network is shown (test_time_flips()).
std::string evaluate_detector(Detector& detector, const DetectionDataset& dataset, const TrainConfig& config,
                              const std::string& folder, CocoFigures* figures = nullptr,
                              ProcessGroup& group = single_process(),
                              std::span<const Flip> views = unflipped);

}  // namespace fovea
