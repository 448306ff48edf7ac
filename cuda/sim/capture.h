#pragma once
#include <functional>

#include "cuda/sim/runtime_api.h"

namespace fovea::sim {

// Does the work now, records it if the stream is being captured, or queues it on a deferred device.
void submit(cudaStream_t stream, std::function<void()> work);

// Whether submit() would do it now.
bool runs_at_once(cudaStream_t stream);

// Records the work if some stream is being captured, or queues it on a deferred device; returns whether it
// did either.
bool postponed(std::function<void()> work);

}  // namespace fovea::sim
