#pragma once
#include <functional>

#include "cuda/sim/runtime_api.h"

namespace fovea::sim {

// Does the work now, or records it where the stream is being captured.
void submit(cudaStream_t stream, std::function<void()> work);

// Records the work where some stream is being captured, and says whether it did.
bool captured(std::function<void()> work);

}  // namespace fovea::sim
