#pragma once
#include <array>
#include <memory>
#include <vector>

#include "models/efficientdet.h"
#include "train/loop/config.h"
#include "train/loop/recipe.h"

namespace fovea {

// The network for a configuration: the named one with the configured anchors, fusion and input size. Throws
// Error if a name is unknown.
EfficientDetSpec detector_spec(const TrainConfig& config);

// Height and width of its input.
std::array<int, 2> input_size(const TrainConfig& config, const EfficientDetSpec& spec);

// The sizes, height and width, that config.multi_scale lets a training's input have beside `size`, from the
// smallest to the largest: the longer side is a multiple of 32 pixels, the shorter one the multiple nearest
// to the same shape (YOLOv2, arXiv 1612.08242, section 2, "Multi-Scale Training"). Only `size` where
// multi_scale is 0. Throws Error where there would be less than two.
std::vector<std::array<int, 2>> training_sizes(const TrainConfig& config, std::array<int, 2> size);

// That network on config.device, with new weights from config.seed. If it is not `regularized`, it has no
// stochastic depth.
std::shared_ptr<EfficientDet> make_detection_network(const TrainConfig& config, int64_t classes,
                                                     bool regularized = true);

// Focal loss over classes + box_loss_weight * config.box_loss over boxes (Huber loss in EfficientDet, section
// 5.1). `class_weights`: one for each class, in the focal loss, or none. Outputs are DetectorOutput's two.
// Targets: classes, int32 (N, anchors), as AnchorMatcher writes them; box codes (N,
// anchors, 4); and the number that both losses are divided by, the positive anchors of all the images of a
// step + 1. Outputs and targets may have the anchors of any of the training_sizes(), and empty_batch() is of
// the largest. `casts`: casts_of() the model.
Recipe detection_recipe(std::shared_ptr<EfficientDet> model, ParameterCasts casts, const TrainConfig& config,
                        const std::vector<double>& class_weights = {});

}  // namespace fovea
