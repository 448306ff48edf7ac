#pragma once
#include <memory>
#include <string>

#include "train/data/loader/dataset.h"

namespace fovea {

// MNIST's handwritten digits (http://yann.lecun.com/exdb/mnist/) from its unpacked files in `folder`,
// train-images-idx3-ubyte and train-labels-idx1-ubyte, or t10k-... where `train` is false. Inputs (28, 28, 1)
// from 0 (paper) to 1 (ink). Sets in the same format, such as Fashion-MNIST, can be read too, but their
// classes are also called "0" to "9". Throws Error as read_idx does, and naming the file, the offset and the
// value of a label above 9, and where there is not one label for each image.
std::shared_ptr<const Dataset> mnist(const std::string& folder, bool train);

}  // namespace fovea
