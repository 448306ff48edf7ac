#pragma once
#include <memory>
#include <vector>

#include "models/efficientnet.h"
#include "train/loop/config.h"
#include "train/loop/recipe.h"

namespace fovea {

// The network for a configuration, with its stochastic depth. Throws Error if the name is unknown.
EfficientNetSpec classifier_spec(const TrainConfig& config);

// The side of its input, which is square. Throws Error if config.image_size is not.
int input_size(const TrainConfig& config, const EfficientNetSpec& spec);

// That network on config.device, with new weights from config.seed. If it is not `regularized`, it has
// neither dropout nor stochastic depth.
std::shared_ptr<EfficientNet> make_classification_network(const TrainConfig& config, int64_t classes,
                                                          bool regularized = true);

// Softmax cross-entropy with label smoothing, the mean over the images. `class_weights`: one for each class,
// for the images of that class, or none. Output: logits (N, classes); target: labels int32 (N). `casts`:
// casts_of() the model.
Recipe classification_recipe(std::shared_ptr<EfficientNet> model, ParameterCasts casts,
                             const TrainConfig& config, const std::vector<double>& class_weights = {});

}  // namespace fovea
