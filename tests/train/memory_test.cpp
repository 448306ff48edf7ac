// Compares step_memory() with the memory that real steps take.
#include "train/diagnose/memory.h"

#include <catch2/catch.hpp>

#include "core/storage.h"
#include "cuda/runtime/memory.h"
#include "nn/io/safetensors.h"
#include "tests/support/test_data.h"
#include "train/data/random_stream.h"
#include "train/data/synth/synth.h"
#include "train/detection/detection_task.h"
#include "train/diagnose/step_timing.h"
#include "train/loop/resolve_config.h"
#include "train/loop/trainer.h"

using namespace fovea;
using Catch::Contains;

namespace {

struct Case {
  std::string model;
  int64_t batch, size;
  bool recompute;
};

TrainConfig config_of(const Case& c) {
  TrainConfig config;
  config.task = c.model.find("efficientdet") == std::string::npos ? "classification" : "detection";
  config.model = c.model;
  config.batch_size = c.batch;
  config.image_size = std::to_string(c.size);
  config.recompute = c.recompute;
  return config;
}

StepOptions options_of(const Case& c, Device device) {
  StepOptions options;
  options.model = c.model;
  options.batch = c.batch;
  options.image_size = {int(c.size), int(c.size)};
  options.classes = 20;
  options.recompute = c.recompute;
  options.device = device;
  if (device == Device::cuda) options.precision = DType::bfloat16;
  return options;
}

}  // namespace

TEST_CASE("the memory of a step on the CPU is predicted for any model, batch, size, and recomputing") {
  for (const Case& c : std::vector<Case>{{"efficientnet_b0", 1, 96, false},
                                         {"efficientnet_b0", 4, 64, false},
                                         {"efficientnet_b0", 4, 64, true},
                                         {"efficientdet_d-2", 2, 128, false},
                                         {"efficientdet_d-2", 2, 128, true},
                                         {"efficientdet_d-2", 3, 75, false},
                                         {"efficientdet_d0", 1, 128, false},
                                         {"efficientdet_d0", 2, 64, true},
                                         {"efficientdet_d1", 1, 96, false},
                                         {"tf_efficientdet_d1", 1, 96, true}}) {
    CAPTURE(c.model, c.batch, c.size, c.recompute);
    const TrainConfig config = config_of(c);
    const StepMemory predicted = step_memory(config, 20);
    const int64_t one_batch = predicted.batches / (1 + 3);

    release_cached_memory();
    const int64_t before = memory_use().current;
    StepTiming timing(options_of(c, Device::cpu));  // plain SGD without moments or averages, one batch
    reset_peak_memory();
    timing.training_ops();  // two steps
    const int64_t measured = memory_use().peak - before;
    const int64_t expected =
        predicted.peak - predicted.optimizer - predicted.averages - predicted.batches + one_batch;
    CHECK(double(expected) == Approx(double(measured)).epsilon(0.02));

    CHECK(predicted.gradients == 4 * timing.parameter_count());
    CHECK(predicted.optimizer >= 2 * predicted.gradients);  // small tensors take 64 bytes each
    CHECK(predicted.averages == predicted.weights);
  }
}

TEST_CASE("recomputing takes less than half of the memory that grows with the batch") {
  for (const auto& [model, most] : {std::pair("efficientdet_d0", 0.35), std::pair("efficientdet_d-2", 0.5)}) {
    const auto growing = [&, name = model](bool recompute) {  // activations and temporary tensors
      const StepMemory m = step_memory(config_of({name, 4, 256, recompute}), 90);
      return double(m.peak - m.weights - m.optimizer - m.averages - m.batches);
    };
    CAPTURE(model, growing(false), growing(true));
    CHECK(growing(true) < most * growing(false));
  }
}

TEST_CASE("the memory of a step on CUDA in bfloat16 is predicted") {
  for (const Case& c :
       std::vector<Case>{{"efficientnet_b0", 2, 64, true}, {"efficientdet_d0", 1, 64, false}}) {
    CAPTURE(c.model, c.batch, c.size, c.recompute);
    TrainConfig config = config_of(c);
    config.device = "cuda";
    config.optimizer = "sgd";
    const StepMemory predicted = step_memory(config, 20);
    const int64_t before = cuda::device_memory_use().current;
    StepTiming timing(options_of(c, Device::cuda));
    cuda::reset_device_peak();
    timing.training_launches();  // on a simulated device they are allocated and not run
    const int64_t measured = cuda::device_memory_use().peak - before;
    CHECK(double(predicted.peak - predicted.averages) == Approx(double(measured)).epsilon(0.02));
  }
}

TEST_CASE("the memory of a whole training is predicted") {
  const TemporaryFolder folder;
  SynthOptions synth;
  synth.train_images = 24;
  synth.val_images = 4;
  synth.width = 160;
  synth.height = 120;
  synthesize_dataset(folder / "data", synth);
  for (const auto& [recompute, accumulate, multi_scale] :
       {std::tuple(false, 1, 0.0), std::tuple(true, 1, 0.0), std::tuple(false, 3, 0.0),
        std::tuple(false, 1, 0.25)}) {
    TrainConfig config = config_of({"efficientdet_d-2", accumulate == 1 ? 4 : 1, 128, recompute});
    config.accumulate = accumulate;
    config.multi_scale = multi_scale;
    config.data = folder / "data";
    config.steps = 4;
    config.drop_path = 0.2;
    while (multi_scale > 0 && Random(uint64_t(config.seed), stream_of(RandomStream::input_size)).below(3) < 2)
      ++config.seed;  // until the first input is the largest
    config = resolve_config(config, synth.train_images);
    release_cached_memory();
    const int64_t before = memory_use().current;
    reset_peak_memory();
    DetectionTask task(config, open_dataset(config.data, "train"), open_dataset(config.data, "val"));
    TrainingState state;
    state.config = config;
    state.class_names = task.detector().class_names();
    state.category_ids = {1, 2, 3};
    int64_t peak = 0;
    TrainHooks hooks;
    hooks.on_step = [&](const TrainProgress& p) {
      if (p.step == 3) peak = memory_use().peak - before;  // before the evaluation
    };
    REQUIRE(
        Trainer(task, state, folder / fmt::format("run-{}-{}-{}", recompute, accumulate, multi_scale), hooks)
            .run());
    const StepMemory predicted = step_memory(config, int64_t(state.class_names.size()));
    CAPTURE(recompute, accumulate, predicted.batches, predicted.gradients);
    CHECK(double(predicted.peak) == Approx(double(peak)).epsilon(0.1));
  }
  // Recomputing changes no bit of what is learned.
  const TensorFile plain = read_safetensors(folder / "run-false-1-0/last.safetensors");
  const TensorFile again = read_safetensors(folder / "run-true-1-0/last.safetensors");
  REQUIRE(plain.tensors.size() == again.tensors.size());
  int64_t different = 0;
  for (size_t i = 0; i < plain.tensors.size(); ++i)
    different += plain.tensors[i].tensor.values() != again.tensors[i].tensor.values();
  CHECK(different == 0);
  CHECK(plain.tensors.size() > 500);
}

TEST_CASE("a training too large for any laptop is predicted at once, and the batch that fits is found") {
  TrainConfig config = config_of({"efficientdet_d7", 16, 1536, false});
  const StepMemory huge = step_memory(config, 90);
  CHECK(double(huge.peak) > 270e9);
  CHECK(huge.reserved >= huge.peak);
  CHECK(double(huge.gradients) == Approx(4 * 51.9e6).epsilon(0.01));  // 51.9 million parameters
  config.recompute = true;
  CHECK(double(step_memory(config, 90).peak) < 0.5 * double(huge.peak));

  config = config_of({"efficientdet_d0", 0, 512, false});
  const int64_t room = 8'000'000'000, batch = largest_batch(config, 90, room);
  CHECK(batch > 4);
  config.batch_size = batch;
  CHECK(step_memory(config, 90).reserved <= room);
  config.batch_size = batch + 1;
  CHECK(step_memory(config, 90).reserved > room);
  CHECK(largest_batch(config, 90, 1'000'000) == 0);
  config.recompute = true;
  CHECK(largest_batch(config, 90, room) > batch);
  CHECK(free_memory(Device::cpu) > 1'000'000);
  CHECK(free_memory(Device::cuda) > 1'000'000);
}

TEST_CASE("frozen parameters need neither gradients nor moments") {
  TrainConfig config = config_of({"efficientdet_d0", 2, 128, false});
  const StepMemory whole = step_memory(config, 3);
  config.freeze = "backbone";
  const StepMemory frozen = step_memory(config, 3);
  CHECK(frozen.weights == whole.weights);
  CHECK(double(frozen.gradients) < 0.1 * double(whole.gradients));
  CHECK(double(frozen.optimizer) < 0.1 * double(whole.optimizer));
  CHECK(frozen.activations < whole.activations);
}
