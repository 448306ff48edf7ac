#pragma once
#include <span>
#include <string>
#include <vector>

#include "cuda/runtime/process_group.h"
#include "train/classification/classifier.h"
#include "train/data/image/image_cache.h"
#include "train/data/image_folder.h"

namespace fovea {

// The probabilities of every image of a data set, (images, classes). The processes of a group share the work,
// and all get the whole result. `views` is as in Classifier::classify().
Tensor classify_dataset(const Classifier& classifier, const ClassificationDataset& dataset,
                        ImageCache& images, int workers, ProcessGroup& group = single_process(),
                        std::span<const Flip> views = unflipped);

// The same figure as that of train/evaluation/classification_metrics.h, with the labels of a data set.
double top_k_accuracy(const Tensor& probabilities, const ClassificationDataset& dataset, int k);

// Evaluates a classifier on a data set and returns its accuracy as text, and in `top1_accuracy` if it is
// given. If `folder` is not empty, writes report.html there: curves from the folder's metrics.csv if it has
// one, which classes were confused, and the images of highest loss. The processes of a group share the work,
// and only one of them has a folder. `views` are those of each image that the network is shown
// (test_time_flips()).
std::string evaluate_classifier(const Classifier& classifier, const ClassificationDataset& dataset,
                                const TrainConfig& config, const std::string& folder,
                                double* top1_accuracy = nullptr, ProcessGroup& group = single_process(),
                                std::span<const Flip> views = unflipped);

}  // namespace fovea
