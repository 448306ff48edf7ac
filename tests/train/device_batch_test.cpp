#include "train/loop/device_batch.h"

#include <algorithm>
#include <array>
#include <catch2/catch.hpp>

#include "cuda/runtime/counters.h"
#include "ops/arithmetic.h"
#include "tests/support/execution.h"
#include "train/optim/step_scalars.h"

using namespace fovea;
using Catch::Contains;

namespace {

// There are two buffers: the third copy is the first that may have to wait for one.
void check_throttles(int64_t throttles, cuda::Execution execution, int steps, int copies) {
  CHECK(throttles <= copies * (steps - 2));
  if (cuda::is_simulated())
    CHECK(throttles == (execution == cuda::Execution::deferred ? copies * (steps - 2) : 0));
}

}  // namespace

TEST_CASE("each step reads its own batch, however far the device is behind the host") {
  constexpr int steps = 6;
  for (const cuda::Execution execution : executions()) {
    const WithExecution with(execution);
    CAPTURE(execution == cuda::Execution::deferred);
    DeviceBatch batch(Device::cuda);
    std::vector<Tensor> seen, targets;
    const cuda::Counters before = cuda::counters();
    for (int step = 0; step < steps; ++step) {
      batch.load({full({3}, step + 1), {full({2}, step + 0.5)}}, step);
      seen.push_back(batch.batch().images * 10);
      targets.push_back(batch.batch().targets[0] * 10);
    }
    CHECK(cuda::counters().synchronizations == before.synchronizations);
    check_throttles(cuda::counters().throttles - before.throttles, execution, steps, 3);  // and the index
    for (int step = 0; step < steps; ++step) {
      CHECK(seen[size_t(step)].to(Device::cpu).values() == std::vector<double>(3, 10 * (step + 1)));
      CHECK(targets[size_t(step)].to(Device::cpu).values() == std::vector<double>(2, 10 * step + 5));
    }
  }
}

TEST_CASE("each step makes its own input of packed images, of any number of bytes") {
  const auto packed = [](int width) {
    Image image(width, 7);
    std::fill(image.pixels.begin(), image.pixels.end(), uint8_t(10 * width));
    auto batch = std::make_shared<PackedImages>(Shape{1, 8, 8, 3}, DType::float32);
    InputImage(*batch, 0).draw(image, {{0, 1, width}, {0, 1, 7}, {}, 0, 0, 8, 8, 8});
    return batch;
  };
  for (const cuda::Execution execution : executions()) {
    const WithExecution with(execution);
    DeviceBatch batch(Device::cuda);
    std::vector<Tensor> seen;
    for (const int width : {3, 5, 4, 8, 1, 6}) {
      batch.load({{}, {}, packed(width)}, width);
      seen.push_back(batch.batch().images * 1);
    }
    for (size_t i = 0; i < seen.size(); ++i) {
      const int width = std::array{3, 5, 4, 8, 1, 6}[i];
      const std::vector<double> values = seen[i].to(Device::cpu).values();
      CHECK(values[0] == Approx((10 * width / 255.0 - 0.485) / 0.229));
      CHECK(std::count(values.begin(), values.end(), 0) == (64 - 7 * width) * 3);
    }
  }
  DeviceBatch batch(Device::cuda);
  batch.load({{}, {}, packed(3)}, 0);
  const auto other = std::make_shared<PackedImages>(Shape{2, 8, 8, 3}, DType::float32);
  CHECK_THROWS_WITH(batch.load({{}, {}, other}, 1),
                    Contains("[DeviceBatch] a batch is of 2x8x8x3, those before were of 1x8x8x3"));
  DeviceBatch any_size(Device::cuda, true);
  any_size.load({{}, {}, packed(3)}, 0);
  any_size.load({{}, {}, other}, 1);
  CHECK(any_size.batch().images.shape() == Shape{2, 8, 8, 3});
}

TEST_CASE("each step reads its own scalars, however far the device is behind the host") {
  constexpr int steps = 6;
  for (const cuda::Execution execution : executions()) {
    const WithExecution with(execution);
    StepScalars<2> scalars(Device::cuda);
    CHECK_FALSE(scalars.is_set());
    std::vector<Tensor> seen;
    const cuda::Counters before = cuda::counters();
    for (int step = 0; step < steps; ++step) {
      scalars.set({float(step), float(step) + 0.5f});
      seen.push_back(empty({2}, DType::float32, Device::cuda));
      cuda::copy_on_device(seen.back().raw(), scalars.data(), 2 * sizeof(float));
    }
    CHECK(cuda::counters().synchronizations == before.synchronizations);
    check_throttles(cuda::counters().throttles - before.throttles, execution, steps, 1);
    for (int step = 0; step < steps; ++step)
      CHECK(seen[size_t(step)].to(Device::cpu).values() == std::vector<double>{step + 0.0, step + 0.5});
  }
}

TEST_CASE("on the CPU a batch is the one that was loaded") {
  DeviceBatch batch(Device::cpu);
  const Tensor images = zeros({2, 3}), labels = zeros({2}, DType::int32);
  batch.load({images, {labels}}, int64_t(3) << 32 | 7);
  CHECK(batch.batch().images.raw() == images.raw());
  CHECK(batch.batch().targets[0].raw() == labels.raw());
  CHECK(*batch.index() == (int64_t(3) << 32 | 7));
}

TEST_CASE("a batch of another shape or dtype than those before is refused") {
  DeviceBatch batch(Device::cuda);
  batch.load({zeros({2, 3}), {zeros({2})}}, 0);
  CHECK_THROWS_WITH(batch.load({zeros({3, 2}), {zeros({2})}}, 1),
                    Contains("[DeviceBatch] a batch is float32 of 3x2, those before were float32 of 2x3"));
  CHECK_THROWS_WITH(batch.load({zeros({2, 3}), {zeros({2}, DType::int32)}}, 1),
                    Contains("a batch is int32 of 2"));
  CHECK_THROWS_WITH(batch.load({zeros({2, 3}), {}}, 1),
                    Contains("a batch has 0 targets, those before had 1"));
}
