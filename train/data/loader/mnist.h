#pragma once
#include <memory>
#include <string>

#include "train/data/loader/dataset.h"

namespace fovea {

// MNIST's handwritten digits (http://yann.lecun.com/exdb/mnist/) from its unpacked files in `folder`,
// train-images-idx3-ubyte and train-labels-idx1-ubyte, or t10k-... if `train` is false. Inputs (28, 28, 1)
// from 0 (paper) to 1 (ink). Sets in the same format, such as Fashion-MNIST, can also be read, but their
// classes are called "0" to "9" as well. Throws Error as read_idx does; for a label above 9, naming the file,
// the offset and the value; and if there is not one label for each image.
std::shared_ptr<const Dataset> mnist(const std::string& folder, bool train);

}  // namespace fovea
