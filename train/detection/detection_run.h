#pragma once
#include <memory>
#include <string>

#include "train/detection/detector.h"
#include "train/loop/training_run.h"

namespace fovea {

// Opens the splits that state.config names, resolves the configuration and fills in the classes.
std::unique_ptr<TrainingRun::Work> make_detection_work(TrainingState& state);

// Measures a detector on a data set and returns the 12 COCO figures, those of each class, VOC's AP50 and what
// it gets wrong as text, and the first of these in `figures` if it is given. Where `folder` is not empty it
// gets report.html, with curves from its metrics.csv where it has one, pictures/*.jpg, detections.json (COCO
// results) and mistakes.csv (errors of each picture).
std::string evaluate_detector(Detector& detector, const DetectionDataset& dataset, const TrainConfig& config,
                              const std::string& folder, CocoFigures* figures = nullptr);

}  // namespace fovea
