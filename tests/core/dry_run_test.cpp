#include "core/dry_run.h"

#include <catch2/catch.hpp>

#include "ops/activation.h"
#include "ops/matmul.h"
#include "ops/reduction.h"

using namespace fovea;

namespace {

// The memory in use before a small step, at its peak and after it.
template <class Use>
std::vector<int64_t> step(const Tensor& w, const Use& use) {
  const int64_t begin = use().current;
  const Tensor x({64, 256});
  x.fill(0.5);
  Tensor loss = sum(swish(linear(swish(linear(x, w, {})), w, {})));
  const int64_t forward = use().current - begin;
  loss.backward();
  return {forward, use().peak - begin, use().current - begin};
}

}  // namespace

TEST_CASE("a dry run counts the memory that a real one takes, and computes nothing") {
  const Tensor w = full({256, 256}, 0.01).set_requires_grad();
  reset_peak_memory();
  const auto real = step(w, memory_use);
  CHECK(real[1] > real[0]);
  const auto gradient = w.grad().values();
  w.clear_grad();
  const int64_t used = memory_use().current;
  {
    const DryRun dry;
    CHECK(step(w, [&] { return dry.memory(Device::cpu); }) == real);
    CHECK(w.grad().shape() == w.shape());
    CHECK_THROWS_WITH(w.grad().values(), Catch::Contains("a dry run made has no numbers"));
    CHECK(w.values()[0] == double(0.01f));  // numbers made before stay readable
    CHECK(memory_use().current == used);
    w.clear_grad();
  }
  CHECK_FALSE(is_dry_run());
  step(w, memory_use);
  CHECK(w.grad().values() == gradient);
}

TEST_CASE("a step that no machine could hold runs, on either device") {
  for (const Device device : {Device::cpu, Device::cuda}) {
    const DryRun dry;
    const Tensor x({1 << 20, 1024, 1024}, DType::float32, device);  // 4 TiB
    const Tensor y = swish(x);
    CHECK(y.device() == device);
    CHECK(dry.memory(device).current == 2 * x.bytes());
    CHECK(x.bytes() == int64_t(1) << 42);
  }
  const DryRun dry;
  CHECK(dry.memory(Device::cuda).peak == 0);
  const Tensor small({1}, DType::float32, Device::cuda);
  CHECK(dry.memory(Device::cuda).current == 512);
  const Tensor moved = zeros({2}).to(Device::cuda);
  CHECK(moved.device() == Device::cuda);
}
