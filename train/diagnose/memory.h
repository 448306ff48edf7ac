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
  int64_t averages = 0;     // of the weights; these are evaluated and saved
  int64_t batches = 0;      // images and targets; on the CPU including those that wait for their turn
  int64_t gradients = 0;    // of the parameters, when all exist
  int64_t activations = 0;  // what is kept for the backward pass when it begins
  int64_t peak = 0;         // most in use at once, of all this and of temporary tensors
  int64_t reserved = 0;     // taken from the system by then: with freed blocks that are kept for reuse
};

// The memory of a training with this configuration and number of classes. A config.batch_size of 0 stands for
// the default. It reads neither data nor weights, and an image_size of 0 stands for the model's own. Throws
// Error if a name or a size is invalid.
StepMemory step_memory(const TrainConfig& config, int64_t classes);

// The largest batch whose step reserves at most this many bytes; 0 if one image needs more.
int64_t largest_batch(TrainConfig config, int64_t classes, int64_t bytes);

// The memory that is free on this machine, or on the GPU in use.
int64_t free_memory(Device device);

}  // namespace fovea
