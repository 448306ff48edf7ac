#pragma once
#include <string>

#include "core/tensor.h"

namespace fovea {

// Reads an IDX file of unsigned bytes, MNIST's format (http://yann.lecun.com/exdb/mnist/), as a uint8 tensor
// of the rank and sizes that it states, rank 1 to 6. Throws Error naming the file, the offset and the value
// if it is not such a file, is compressed, or its length does not match its sizes.
Tensor read_idx(const std::string& path);

}  // namespace fovea
