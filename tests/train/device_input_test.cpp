#include "train/optim/device_input.h"

#include <catch2/catch.hpp>

#include "cuda/runtime/counters.h"
#include "ops/arithmetic.h"
#include "tests/support/execution.h"

using namespace fovea;
using Catch::Contains;

TEST_CASE("each step reads its own batch, however far the device is behind the host") {
  constexpr int steps = 6;
  for (const cuda::Execution execution : executions()) {
    const WithExecution with(execution);
    CAPTURE(execution == cuda::Execution::deferred);
    DeviceInput input(Device::cuda);
    std::vector<Tensor> seen;
    const cuda::Counters before = cuda::counters();
    for (int step = 0; step < steps; ++step) {
      input.load(full({3}, step + 1));
      seen.push_back(input.tensor() * 10);
    }
    CHECK(cuda::counters().synchronizations == before.synchronizations);
    // There are two buffers: the third batch is the first that may have to wait for one.
    const int64_t throttles = cuda::counters().throttles - before.throttles;
    CHECK(throttles <= steps - 2);
    if (cuda::is_simulated()) CHECK(throttles == (execution == cuda::Execution::deferred ? steps - 2 : 0));
    for (int step = 0; step < steps; ++step)
      CHECK(seen[size_t(step)].to(Device::cpu).values() == std::vector<double>(3, 10 * (step + 1)));
  }
}

TEST_CASE("a batch of another shape or dtype than those before is refused") {
  DeviceInput input(Device::cuda);
  input.load(zeros({2, 3}));
  CHECK_THROWS_WITH(input.load(zeros({3, 2})),
                    Contains("[DeviceInput] a batch is float32 of 3x2, those before were float32 of 2x3"));
  CHECK_THROWS_WITH(input.load(zeros({2, 3}, DType::int32)), Contains("a batch is int32 of 2x3"));
}
