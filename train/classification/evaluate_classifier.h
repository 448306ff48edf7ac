#pragma once
#include <span>
#include <string>
#include <vector>

#include "cuda/runtime/process_group.h"
#include "train/classification/classifier.h"
#include "train/data/image/image_cache.h"
#include "train/data/image_folder.h"

namespace fovea {

// The probabilities of every image of a data set, (images, classes). The processes of a group share the
// work, and all get the whole result. `views`: as of Classifier::classify().
Tensor classify_dataset(const Classifier& classifier, const ClassificationDataset& dataset,
                        ImageCache& images, int workers, ProcessGroup& group = single_process(),
                        std::span<const Flip> views = unflipped);

// The same figure as that of train/evaluation/classification_metrics.h, with the labels of a data set.
double top_k_accuracy(const Tensor& probabilities, const ClassificationDataset& dataset, int k);

// Measures a classifier on a data set and returns its accuracy as text, and in `top1_accuracy` if it is
// given. Where `folder` is not empty it gets report.html: curves from its metrics.csv where it has one, what
// was taken for what, and the images of highest loss. The processes of a group share the work; their folder
// is empty but for one. `views`: those of each image that the network is shown (test_time_flips()).
std::string evaluate_classifier(const Classifier& classifier, const ClassificationDataset& dataset,
                                const TrainConfig& config, const std::string& folder,
                                double* top1_accuracy = nullptr, ProcessGroup& group = single_process(),
                                std::span<const Flip> views = unflipped);

}  // namespace fovea
