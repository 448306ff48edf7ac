#pragma once
#include <vector>

#include "nn/module.h"
#include "train/loop/config.h"
#include "train/optim/optimizer.h"

namespace fovea {

// The config with its "choose for me" of length, learning rate, decays and warm-up decided, for so many
// training images. config.batch_size must be given: its default depends on the task (train/run/task_kind.h).
TrainConfig resolve_config(TrainConfig config, int64_t training_images);

// What an optimizer is to update, and how, by the configuration.
OptimizerOptions optimizer_options(const TrainConfig& config);
std::vector<NamedTensor> trained_parameters(const Module& model);

}  // namespace fovea
