// A detector's training on real images, on the CPU and on Device::cuda: a GPU, or the simulator.
#include <atomic>
#include <catch2/catch.hpp>
#include <cmath>

#include "cuda/runtime/counters.h"
#include "tests/support/test_data.h"
#include "train/detection_task.h"
#include "train/ema.h"
#include "train/optimizer.h"
#include "train/schedule.h"
#include "train/trainer.h"

using namespace fovea;

namespace {

TrainConfig tiny_config(const std::string& data) {
  TrainConfig config;
  config.data = data;
  config.model = "efficientdet_d-3";
  config.image_size = "96x128";
  config.batch_size = 4;
  config.steps = 400;  // of which the first ten are run, in the warm-up
  config.drop_path = 0.2;
  config.optimizer =
      "sgd";  // AdamW's first steps divide each gradient by its own size, rounding errors included
  config.precision = "float32";
  return resolve_config(config, 205);
}

// The loss and its parts in each of the first steps.
std::vector<NamedValues> losses_of(const TrainConfig& config, int steps) {
  DetectionTask task(config, open_dataset(config.data, "train"), open_dataset(config.data, "val"));
  Optimizer optimizer(task.model().parameters(), {});
  const Schedule schedule{config.learning_rate, config.warmup_steps, config.steps};
  std::vector<NamedValues> result;
  task.start(0, steps);
  for (int step = 0; step < steps; ++step) {
    task.load(step);
    task.model().clear_gradients();
    NamedValues losses;
    for (const NamedTensor& loss : task.compute()) losses.emplace_back(loss.name, loss.tensor.item());
    optimizer.update(step, schedule.learning_rate(step));
    result.push_back(losses);
  }
  return result;
}

}  // namespace

TEST_CASE("ten steps on real images have the same losses on the CPU and on CUDA") {
  const auto data = test_data("bccd");
  if (!data) {
    WARN("no real images here: set FOVEA_TEST_DATA to a folder that holds bccd");
    return;
  }
  constexpr int steps = 10;
  TrainConfig config = tiny_config(*data);
  const auto cpu = losses_of(config, steps);
  config.device = "cuda";
  const auto gpu = losses_of(config, steps);
  for (int step = 0; step < steps; ++step)
    for (size_t i = 0; i < cpu[size_t(step)].size(); ++i) {
      CAPTURE(step, cpu[size_t(step)][i].first);
      CHECK(gpu[size_t(step)][i].second == Approx(cpu[size_t(step)][i].second).epsilon(1e-4));
    }
  // bfloat16 has 8 bits: near, and it learns as well.
  config.precision = "bfloat16";
  const auto half = losses_of(config, 3);
  CHECK(half[0][0].second == Approx(cpu[0][0].second).epsilon(0.05));
  CHECK(std::isfinite(half[2][0].second));
}

TEST_CASE(
    "after its warm-up a detector's training step is one graph replay: no allocation, no wait, no launch") {
  const auto data = test_data("bccd");
  if (!data) {
    WARN("no real images here: set FOVEA_TEST_DATA to a folder that holds bccd");
    return;
  }
  TrainConfig config = tiny_config(*data);
  config.image_size = "64";
  config.batch_size = 2;
  config.device = "cuda";
  config.precision = "bfloat16";
  DetectionTask task(config, open_dataset(*data, "train"), open_dataset(*data, "val"));
  TrainingState state;
  state.config = config;
  state.class_names = task.detector().class_names();
  state.category_ids = {1, 2, 3};
  std::atomic<bool> stop = false;
  TrainHooks hooks;
  hooks.stop = &stop;
  std::vector<cuda::Counters> counters;
  hooks.on_step = [&](const TrainProgress& p) {
    counters.push_back(cuda::counters());
    stop = p.step == 6;
  };
  const TemporaryFolder folder;
  CHECK_FALSE(Trainer(task, state, folder / "run", hooks).run());
  REQUIRE(counters.size() >= 6);
  CHECK(counters[1].launches - counters[0].launches > 500);  // the second warm-up step, kernel by kernel
  for (const size_t step : {3u, 4u, 5u}) {
    CAPTURE(step);
    CHECK(counters[step].graph_replays == counters[step - 1].graph_replays + 1);
    CHECK(counters[step].launches == counters[step - 1].launches);
    CHECK(counters[step].allocations == counters[step - 1].allocations);
    CHECK(counters[step].synchronizations == counters[step - 1].synchronizations);
    CHECK(counters[step].copies - counters[step - 1].copies <=
          6);  // the batch, and what the update needs to know
  }
}
