#pragma once
#include <memory>
#include <string>
#include <vector>

#include "train/classification/classifier.h"
#include "train/data/image_folder.h"
#include "train/loop/training_run.h"

namespace fovea {

// Opens the pictures that state.config names, resolves the configuration and fills in the classes. Data in
// folders train/<class>/ and val/<class>/ (the names of the splits); where there is only <class>/, every
// fifth picture of a class is held out to measure on.
std::unique_ptr<TrainingRun::Work> make_classification_work(TrainingState& state);

// The pictures of one split: folder/<split>/<class>/, or, where there is only folder/<class>/ and the split
// is "val", those that a training holds out. Labels follow `class_names`, the classes of a model. Throws
// Error where there is no such folder, and as read_image_folder does.
ClassificationDataset open_classification_split(const std::string& folder, const std::string& split,
                                                const std::vector<std::string>& class_names);

// Measures a classifier on a data set and returns its accuracy as text, and in `top1_accuracy` if it is
// given. Where `folder` is not empty it gets report.html: curves from its metrics.csv where it has one, what
// was taken for what, and the pictures of highest loss.
std::string evaluate_classifier(const Classifier& classifier, const ClassificationDataset& dataset,
                                const TrainConfig& config, const std::string& folder,
                                double* top1_accuracy = nullptr);

}  // namespace fovea
