#pragma once
#include <cstdint>

namespace fovea::cuda {

// What this process has asked of the device since it began. A training step that is one graph replay adds one
// graph_replay, the copies of its batch, and nothing else, but for throttles where the device is the slower
// one.
struct Counters {
  int64_t launches = 0;  // kernels, those recorded into a graph included; a replay's are not counted again
  int64_t graph_replays = 0;
  int64_t allocations = 0;       // cudaMalloc: what the caching allocator could not serve
  int64_t synchronizations = 0;  // waits of the host for the device's results, or for all of its work
  // Waits of a host that is ahead, for a buffer which the device has not read yet. They cost nothing: the
  // device has work meanwhile. How many there are depends on the speeds of both.
  int64_t throttles = 0;
  int64_t copies = 0;
};
Counters& counters();

}  // namespace fovea::cuda
