#pragma once
#include <memory>
#include <string>

#include "train/data/loader/dataset.h"

namespace fovea {

// CIFAR-10's photographs from the files of its binary version (https://www.cs.toronto.edu/~kriz/cifar.html)
// in `folder`: data_batch_1.bin to data_batch_5.bin, or test_batch.bin if `train` is false. Inputs (32, 32,
// 3), RGB from 0 to 1. Throws Error if a file is missing or does not consist of records of 3073 bytes, and,
// naming the file, the offset and the value, for a label above 9.
std::shared_ptr<const Dataset> cifar10(const std::string& folder, bool train);

}  // namespace fovea
