#pragma once
#include <cstdint>

#include "core/device.h"
#include "train/loop/config.h"

namespace fovea {

// The bytes of a training step on its device. They are found by walking through the step without computing it
// (core/dry_run.h): exact for what tensors take on the CPU, in milliseconds, however large the step is.
struct StepMemory {
  int64_t weights = 0;      // batch norm's running averages, and the weights' casts
  int64_t optimizer = 0;    // momentum; AdamW's second moments
  int64_t averages = 0;     // of the weights, which are what is measured and kept
  int64_t batches = 0;      // images and targets, on the CPU those that wait for their turn, too
  int64_t gradients = 0;    // of the parameters, once they are all there
  int64_t activations = 0;  // what waits for the backward pass when it begins
  int64_t peak = 0;         // most in use at once, of all this and of what comes and goes
  int64_t reserved = 0;     // taken from the system by then: with freed blocks that are kept for reuse
};

// Of a training with this configuration, of so many classes. config.batch_size 0: the default. Neither data
// nor weights are looked at, and an image_size of 0 stands for the model's own. Throws where a name or a
// size is none.
StepMemory step_memory(const TrainConfig& config, int64_t classes);

// The largest batch whose step reserves at most so many bytes; 0 where one image is too much.
int64_t largest_batch(TrainConfig config, int64_t classes, int64_t bytes);

// What this machine's programs, or the GPU in use, have left.
int64_t free_memory(Device device);

}  // namespace fovea
