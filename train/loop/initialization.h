#pragma once
#include <string>
#include <vector>

#include "nn/module.h"
#include "train/loop/config.h"

namespace fovea {

// What the fields init_from and freeze ask for, before the first step of a training.

// Gives the network the weights of config.init_from as load_pretrained() has it, and says so in one sentence
// for people; `class_names` are the network's, compared with the file's; "" where there is no such file in
// the configuration. Throws as load_pretrained() does.
std::string initialize(const Module& model, const TrainConfig& config,
                       const std::vector<std::string>& class_names);

// Takes the parts that config.freeze names out of training: "backbone" is the stem and all blocks, with their
// norms; "batch-norm" is every batch norm: weight, bias and running averages, as in torchvision's and
// effdet's FrozenBatchNorm.
void freeze(Module& model, const TrainConfig& config);

}  // namespace fovea
