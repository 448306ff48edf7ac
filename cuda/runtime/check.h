#pragma once
#include "cuda/platform.h"

namespace fovea::cuda {

// Throws CudaError with the runtime's message, what was requested of it and where, unless `error` is success.
void check(cudaError_t error, const char* asked, const char* file = __builtin_FILE(),
           int line = __builtin_LINE());

}  // namespace fovea::cuda
