#pragma once
#include <cstdint>

namespace fovea::cuda {

// What this process has asked of the device since it began. A training step that is one graph replay adds one
// graph_replay, the copies of its batch, and nothing else.
struct Counters {
  int64_t launches = 0;  // kernels, those recorded into a graph included; a replay's are not counted again
  int64_t graph_replays = 0;
  int64_t allocations = 0;       // cudaMalloc: what the caching allocator could not serve
  int64_t synchronizations = 0;  // waits of the host
  int64_t copies = 0;
};
Counters& counters();

}  // namespace fovea::cuda
