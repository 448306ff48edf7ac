#pragma once
#include <functional>

#include "cuda/sim/runtime_api.h"

namespace fovea::sim {

// Does the work now, or records it where the stream is being captured.
void submit(cudaStream_t stream, std::function<void()> work);

}  // namespace fovea::sim
