#pragma once
#include <functional>

#include "cuda/sim/runtime_api.h"

namespace fovea::sim {

// Does the work now, or records it where the stream is being captured, or queues it on a deferred device.
void submit(cudaStream_t stream, std::function<void()> work);

// Whether submit() would do it now.
bool runs_at_once(cudaStream_t stream);

// Records the work where some stream is being captured, or queues it on a deferred device; says whether it
// did either.
bool postponed(std::function<void()> work);

}  // namespace fovea::sim
