#pragma once
#include <string>

#include "nn/module.h"
#include "train/optim/optimizer.h"

namespace fovea {

// Saves your own training loop in a file to continue from: the network's parameters and buffers, the
// optimizer's momenta and the number of its steps, and the position of the network's random numbers
// (dropout). The source of the loop's batches is not in the file: batches() begins at `.epoch`.

// Writes a safetensors file, atomically. Throws Error if it cannot be written.
void save_training(const std::string& path, const Module& network, const Optimizer& optimizer);

// Restores the state in the file to the network and the optimizer, which must be made as they were for
// save_training() and may be on any device. The steps that follow compute the same bits as without the
// interruption, at the learning rates of the optimizer's own options and schedule. Make a CapturedStep
// afterwards. Throws Error, and changes nothing, if the file was not written by save_training(), or belongs
// to another network, or to an optimizer of another kind or with other parameters.
void load_training(const std::string& path, const Module& network, Optimizer& optimizer);

}  // namespace fovea
