#include "train/detection/detection_warnings.h"

#include <algorithm>

#include "core/error.h"
#include "train/data/anchor_fit.h"
#include "train/data/problem.h"
#include "train/detection/detection_recipe.h"
#include "train/evaluation/check.h"

namespace fovea {
namespace {

// Classes that lack boxes for training or for validation.
void warn_of_classes(const DetectionDataset& train, const DetectionDataset& validation,
                     std::vector<std::string>& warnings) {
  const auto learned = boxes_of_classes(train), measured = boxes_of_classes(validation);
  std::vector<std::string> unseen, unmeasured;
  for (size_t i = 0; i < learned.size(); ++i) {
    if (learned[i] == 0) unseen.push_back(train.class_names[i]);
    if (learned[i] > 0 && measured[i] == 0) unmeasured.push_back(train.class_names[i]);
  }
  require(unseen.size() < learned.size(), "{} has no box in any of its {} images: there is nothing to learn",
          train.name, train.images.size());
  if (!unseen.empty())
    warnings.push_back(
        fmt::format("{} has no box of class {}: it will not be learned", train.name, some_of(unseen)));
  if (std::all_of(measured.begin(), measured.end(), [](int64_t n) { return n == 0; }))
    warnings.push_back(
        fmt::format("{} has no box at all: every figure will be -1, and the best weights cannot be chosen",
                    validation.name));
  else if (!unmeasured.empty())
    warnings.push_back(fmt::format("{} has no box of class {}: that class is not evaluated", validation.name,
                                   some_of(unmeasured)));
}

}  // namespace

void warn_before_training(DetectionDataset& train, const DetectionDataset& validation,
                          const TrainConfig& config) {
  constexpr double enough_covered = 0.8, too_many_faults = 0.03;
  constexpr size_t few_faults = 10;
  std::vector<const LabelledImage*> images;
  size_t boxes = 0;
  for (const LabelledImage& image : train.images) images.push_back(&image), boxes += image.annotations.size();
  const auto size = parse_image_size(config.image_size);
  std::vector<std::string> warnings;
  warn_of_classes(train, validation, warnings);
  const AnchorOptions anchors = detector_spec(config).anchors;
  const double covered = covered_share(images, size[0], size[1], anchors);
  if (covered < enough_covered) {
    const InputChoice better = suggest_input(images, anchors);
    std::string text = fmt::format(
        "{:.0f} % of the training boxes overlap no anchor with an IoU of 0.5 at {}x{} pixels and anchor "
        "scale "
        "{:g}, and get at most one forced anchor",
        100 * (1 - covered), size[0], size[1], config.anchor_scale);
    if (better.covered > covered)
      text += fmt::format(": `image_size` {}x{} and `anchor_scale` {:g} would leave {:.0f} %", better.height,
                          better.width, better.anchor_scale, 100 * (1 - better.covered));
    warnings.push_back(text + fmt::format("; `fovea data check {}` shows their sizes", config.data));
  }
  for (const DetectionDataset* dataset : {static_cast<const DetectionDataset*>(&train), &validation})
    if (std::string text = too_many_objects(*dataset, config.max_detections);
        !text.empty() && (dataset == &train || config.overfit == 0))  // with `overfit` both are one
      warnings.push_back(std::move(text));
  if (train.warnings.size() > few_faults && double(train.warnings.size()) > too_many_faults * double(boxes))
    warnings.push_back(
        fmt::format("{} has {} faults beside {} good boxes: `fovea data check {}` shows whether the boxes' "
                    "numbers are in another order",
                    train.name, train.warnings.size(), boxes, config.data));
  train.warnings.insert(train.warnings.begin(), warnings.begin(), warnings.end());
}

}  // namespace fovea
