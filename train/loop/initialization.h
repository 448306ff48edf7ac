#pragma once
#include <string>
#include <vector>

#include "nn/module.h"
#include "train/loop/config.h"

namespace fovea {

// The fields init_from and freeze take effect here, before the first step of a training.

// Loads the weights of config.init_from into the network with load_pretrained(), and returns a sentence about
// it for the user, or "" if the configuration names no file. `class_names` are the network's, to compare with
// the file's. Throws as load_pretrained() does.
std::string initialize(const Module& model, const TrainConfig& config,
                       const std::vector<std::string>& class_names);

// Excludes the parts that config.freeze names from training: "backbone" is the stem and all blocks, with
// their norms; "batch-norm" is every batch norm: weight, bias and running averages, as in torchvision's and
// effdet's FrozenBatchNorm.
void freeze(Module& model, const TrainConfig& config);

}  // namespace fovea
