#pragma once
#include <string>

#include "nn/module.h"
#include "train/optim/optimizer.h"

namespace fovea {

// A loop of one's own, kept in a file to go on from: the network's parameters and buffers, the optimizer's
// momenta and the number of its steps, and where the network's random numbers stand (dropout). What the loop
// draws its batches from is not in it: batches() begins at `.epoch`.

// Writes a safetensors file, atomically. Throws Error where it cannot be written.
void save_training(const std::string& path, const Module& network, const Optimizer& optimizer);

// Puts the network and the optimizer, made as they were for save_training() and on any device, into the state
// of the file: the steps that follow compute the same bits as without the interruption, at the learning rates
// of the optimizer's own options and schedule. A CapturedStep is made afterwards. Throws Error, and changes
// nothing, where the file was not written by save_training(), or is of another network or of an optimizer of
// another kind or with other parameters.
void load_training(const std::string& path, const Module& network, Optimizer& optimizer);

}  // namespace fovea
