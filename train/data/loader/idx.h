#pragma once
#include <string>

#include "core/tensor.h"

namespace fovea {

// An IDX file of unsigned bytes, MNIST's format (http://yann.lecun.com/exdb/mnist/), as a uint8 tensor of the
// rank and sizes that it states, rank 1 to 6. Throws Error naming the file, the offset and the value where it
// is no such file, is compressed, or does not have the length that its sizes ask for.
Tensor read_idx(const std::string& path);

}  // namespace fovea
