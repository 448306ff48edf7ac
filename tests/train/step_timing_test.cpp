#include "train/diagnose/step_timing.h"

#include <algorithm>
#include <catch2/catch.hpp>

using namespace fovea;
using Catch::Contains;

namespace {

StepOptions tiny(Device device) {
  StepOptions options;
  options.model = "efficientdet_d-3";
  options.batch = 1;
  options.image_size = {32, 32};
  options.classes = 2;
  options.device = device;
  if (device == Device::cuda) options.precision = DType::bfloat16;
  return options;
}

}  // namespace

TEST_CASE("a detector's step, forward pass and detection are timed on either device") {
  for (const Device device : {Device::cpu, Device::cuda}) {
    StepTiming timing(tiny(device));
    CHECK(timing.options().image_size == std::array{32, 32});
    for (const auto& times : {timing.training(2), timing.forward(2), timing.detection(2)}) {
      REQUIRE(times.size() == 2);
      CHECK(*std::min_element(times.begin(), times.end()) > 0);
    }
  }
}

TEST_CASE("settings left open are the published ones") {
  StepOptions options;
  options.batch = 1;
  StepTiming timing(options);
  CHECK(timing.parameter_count() == 5288548);
  CHECK(timing.options().image_size == std::array{224, 224});
  CHECK(timing.options().classes == 1000);
  CHECK_THROWS_WITH(timing.detection(1), Contains("efficientnet_b0 is not a detector"));
}

// Each launch costs 1.5 to 2.5 us of a GPU's time, whatever it does, and each 4 GB a millisecond
// (bench/NOTES.md), so these bounds may only fall.
TEST_CASE("a training step in bfloat16 has no more launches and moves no more bytes than it did") {
  struct Most {
    std::string model;
    int64_t batch;
    size_t launches;
    double megabytes;
  };
  for (const Most& most : {Most{"efficientdet_d0", 2, 773, 2537}, Most{"efficientnet_b0", 8, 396, 1626}}) {
    StepOptions options;
    options.model = most.model;
    options.batch = most.batch;
    options.device = Device::cuda;
    options.precision = DType::bfloat16;
    StepTiming timing(options);
    const auto launches = timing.training_launches();
    INFO(most.model << " has " << launches.size() << " launches");
    CHECK(launches.size() <= most.launches);
    CHECK(launches.size() > most.launches * 9 / 10);  // or lower the bound
    double megabytes = 0;
    for (const cuda::LaunchTime& launch : launches) megabytes += double(launch.bytes) / 1e6;
    CHECK(megabytes <= most.megabytes);
    CHECK(megabytes > 0.97 * most.megabytes);
    // Products read weights that are already cast.
    const auto casts = [](const cuda::LaunchTime& launch) { return launch.kernel.starts_with("cast_"); };
    CHECK(std::none_of(launches.begin(), launches.end(), casts));
  }
}

TEST_CASE("a detection has no more launches than it had, and reads its logits as few times") {
  StepOptions options;
  options.model = "efficientdet_d0";
  options.batch = 1;
  options.device = Device::cuda;
  options.precision = DType::bfloat16;
  StepTiming timing(options);
  const auto launches = timing.detection_launches();
  constexpr size_t most = 271;
  INFO("a detection has " << launches.size() << " launches");
  CHECK(launches.size() <= most);
  CHECK(launches.size() > most * 9 / 10);  // or lower the bound
  // All after the network: eight kernels, and the copy that brings the boxes.
  const auto begin = std::find_if(launches.begin(), launches.end(),
                                  [](const auto& launch) { return launch.kernel == "begin_search"; });
  CHECK(launches.end() - begin == 9);
  const int64_t logits = 2 * 49104 * 90;  // bytes
  int64_t bytes = 0;
  for (auto launch = begin; launch != launches.end(); ++launch) bytes += launch->bytes;
  CHECK(bytes < 5 * logits);  // at most four passes; often nothing is left for the last one
}

TEST_CASE("the profile of a step holds its kernels on CUDA and its ops on the CPU") {
  StepTiming on_device(tiny(Device::cuda));
  int64_t update = 0, depthwise = 0;
  for (const cuda::LaunchTime& launch : on_device.training_launches()) {
    CHECK(launch.bytes >= 0);
    if (launch.kernel.starts_with("each_number_chunked<Sgd")) update += launch.bytes;
    if (launch.kernel.starts_with("depthwise_")) ++depthwise;
  }
  CHECK(update == 20 * on_device.parameter_count());
  StepTiming on_cpu(tiny(Device::cpu));
  int64_t calls = 0;
  for (const OpTime& op : on_cpu.training_ops()) {
    CHECK(op.forward + op.backward > 0);
    if (op.op == "depthwise_conv2d") calls = op.calls;
  }
  CHECK(calls > 20);
  // On CUDA each layer of the two heads, three per head, runs once for the five levels.
  CHECK(depthwise == calls - 2 * 3 * 4);
}

TEST_CASE("what cannot be timed is refused") {
  StepOptions options = tiny(Device::cpu);
  options.precision = DType::bfloat16;
  CHECK_THROWS_WITH(StepTiming(options), Contains("`precision` bfloat16 with `device` cpu"));
  options = tiny(Device::cpu);
  options.batch = 0;
  CHECK_THROWS_WITH(StepTiming(options), Contains("a batch of 0 images"));
  options = tiny(Device::cpu);
  options.model = "resnet50";
  CHECK_THROWS_WITH(StepTiming(options), Contains("resnet50"));
}
