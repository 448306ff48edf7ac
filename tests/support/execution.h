#pragma once
#include <vector>

#include "cuda/runtime/device.h"

namespace fovea {

// While one lives the simulated device works at once, or only when the host waits for it.
class WithExecution {
 public:
  explicit WithExecution(cuda::Execution execution) { cuda::set_execution(execution); }
  ~WithExecution() { cuda::set_execution(cuda::Execution::immediate); }
  WithExecution(const WithExecution&) = delete;
  WithExecution& operator=(const WithExecution&) = delete;
};

// Both modes; a real GPU has one and is tried once.
inline std::vector<cuda::Execution> executions() {
  if (!cuda::is_simulated()) return {cuda::Execution::immediate};
  return {cuda::Execution::immediate, cuda::Execution::deferred};
}

}  // namespace fovea
