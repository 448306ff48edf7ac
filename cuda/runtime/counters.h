#pragma once
#include <cstdint>

namespace fovea::cuda {

// What this process has requested of the device since it began. A training step that is one graph replay adds
// one graph_replay and the copies of its batch, and nothing else, except throttles if the device is slower
// than the host.
struct Counters {
  int64_t launches = 0;  // kernels, including those recorded into a graph; a replay's are not counted again
  int64_t graph_replays = 0;
  int64_t allocations = 0;       // cudaMalloc: what the caching allocator could not serve
  int64_t synchronizations = 0;  // waits of the host for the device's results, or for all of its work
  // Waits of a host that is ahead for a buffer that the device has not read yet. They cost nothing, because
  // the device has work meanwhile. Their number depends on the speeds of both.
  int64_t throttles = 0;
  int64_t copies = 0;
};
Counters& counters();

}  // namespace fovea::cuda
