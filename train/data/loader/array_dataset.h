#pragma once
#include <memory>

#include "train/data/loader/dataset.h"

namespace fovea {

// Options of array_dataset().
struct ArrayOptions {
  std::vector<std::string> class_names;  // of int32 targets; empty: none
  bool unit_range = false;               // uint8 inputs become float32 from 0 to 1, divided by 255
};

// A data set in memory: example i is index i of the first axis of both tensors, which are on the CPU and may
// otherwise have any shape and dtype; int32 targets (N) are classes. It keeps the tensors, not a copy. Throws
// Error if they are on another device or differ in their first axis, a label has no name among `class_names`,
// or `unit_range` is set and the inputs are not uint8.
std::shared_ptr<const Dataset> array_dataset(const Tensor& inputs, const Tensor& targets,
                                             ArrayOptions options = {});

}  // namespace fovea
