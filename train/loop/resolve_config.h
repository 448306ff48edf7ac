#pragma once
#include <vector>

#include "nn/module.h"
#include "train/loop/config.h"
#include "train/optim/optimizer.h"

namespace fovea {

// Replaces "choose for me" by the length, learning rate, decays and warm-up for this number of training
// images. config.batch_size must be given: its default depends on the task (train/run/task_kind.h).
TrainConfig resolve_config(TrainConfig config, int64_t training_images);

// config.box_loss_weight, or the default for config.box_loss if it is -1: 50 for Huber loss, as in
// EfficientDet, and 1 for IoU losses, which then have about the same share in the sum: a box whose four
// numbers are each off by 0.1 has a Huber loss of 0.005 and an IoU loss of about 0.3.
double box_loss_weight(const TrainConfig& config);

// The options of the optimizer, and the parameters it updates, for the configuration.
OptimizerOptions optimizer_options(const TrainConfig& config);
std::vector<NamedTensor> trained_parameters(const Module& model);

}  // namespace fovea
