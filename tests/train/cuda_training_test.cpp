// A detector's training on real images, on the CPU and on Device::cuda: a GPU, or the simulator.
#include <atomic>
#include <catch2/catch.hpp>
#include <cmath>
#include <functional>

#include "cuda/runtime/counters.h"
#include "ops/support/check_op.h"
#include "tests/support/execution.h"
#include "tests/support/test_data.h"
#include "train/detection/detection_task.h"
#include "train/loop/gradient_step.h"
#include "train/loop/resolve_config.h"
#include "train/loop/trainer.h"
#include "train/optim/ema.h"
#include "train/optim/optimizer.h"
#include "train/optim/schedule.h"

using namespace fovea;

namespace {

TrainConfig tiny_config(const std::string& data) {
  TrainConfig config;
  config.data = data;
  config.model = "efficientdet_d-3";
  config.image_size = "96x128";
  config.batch_size = 4;
  config.steps = 400;  // of which the first six run, in the warm-up
  config.drop_path = 0.2;
  config.optimizer =
      "sgd";  // AdamW's first steps divide each gradient by its own size, including rounding errors
  config.precision = "float32";
  return resolve_config(config, 205);
}

// The first steps of a training.
struct Steps {
  std::vector<NamedValues> losses;     // the loss and its parts, in each step
  std::vector<NamedTensor> gradients;  // of the first step, on the CPU
};

// Moves each weight to the next float32 above or below it, at random.
void round_otherwise(const Module& model, uint64_t seed) {
  Random random(seed);
  for (const NamedTensor& weight : model.parameters())
    for (float& w : weight.tensor.span<float>())
      w = std::nextafter(w, random.chance(0.5) ? INFINITY : -INFINITY);
}

Steps run_steps(const TrainConfig& config, int steps,
                const std::function<void(const Module&)>& prepare = {}) {
  DetectionTask task(config, open_dataset(config.data, "train"), open_dataset(config.data, "val"));
  if (prepare) prepare(task.model());
  Optimizer optimizer(task.model().parameters(), {});
  const WarmupCosine schedule{config.learning_rate, config.warmup_steps, config.steps};
  Steps result;
  GradientStep gradients(task, config);
  gradients.start(0, steps);
  for (int step = 0; step < steps; ++step) {
    gradients.load(step);
    NamedValues losses;
    for (const NamedTensor& loss : gradients.compute()) losses.emplace_back(loss.name, loss.tensor.item());
    result.losses.push_back(losses);
    if (step == 0)
      for (const NamedTensor& p : task.model().parameters())
        result.gradients.push_back({p.name, p.tensor.grad().to(Device::cpu).clone()});
    optimizer.update(step, schedule(step));
  }
  return result;
}

}  // namespace

TEST_CASE(
    "six steps on real images have the same losses on the CPU and on CUDA, and the first one its gradients") {
  const auto data = test_data("bccd");
  if (!data) {
    WARN("there are no real images: set FOVEA_TEST_DATA to a folder that contains bccd");
    return;
  }
  constexpr int steps = 6;
  TrainConfig config = tiny_config(*data);
  const Steps cpu = run_steps(config, steps);
  std::vector<Steps> nudged;
  for (uint64_t seed = 1; seed <= 5; ++seed)
    nudged.push_back(run_steps(config, steps, [&](const Module& model) { round_otherwise(model, seed); }));
  config.device = "cuda";
  const Steps gpu = run_steps(config, steps);

  // Two devices diverge like two runs on one device whose weights differ by a rounding, only further. Nudged
  // weights change each sum by about one rounding. Another order of its terms changes it by about the square
  // root of their number, which is up to a thousand here: 30.
  constexpr double base = 1e-4, other_order = 30;

  // They share the gradients of the first step. Some are zero except for rounding, such as those of biases
  // before another batch norm. Nudged weights change all of such a gradient, and so may a device.
  int well_known = 0;
  for (size_t i = 0; i < cpu.gradients.size(); ++i) {
    const auto off = [&](const Steps& run) {
      return relative_difference(run.gradients[i].tensor, cpu.gradients[i].tensor);
    };
    double parted = 0;
    for (const Steps& run : nudged) parted = std::max(parted, off(run));
    const double allowed = std::max(base, other_order * parted);
    CAPTURE(cpu.gradients[i].name, allowed);
    CHECK(off(gpu) <= allowed);
    well_known += allowed < 1e-3;
  }
  CHECK(well_known > 150);  // of 239: otherwise the bounds would mean little

  // From step to step the differences grow, those of the nudged runs as well: to 1e-6 or 1e-5 after six
  // steps, and to more than 1e-3 after ten with images from libjpeg-turbo.
  double parted = 0;
  for (size_t step = 0; step < steps; ++step)
    for (size_t i = 0; i < cpu.losses[step].size(); ++i) {
      const auto off = [&](const Steps& run) {
        return std::abs(run.losses[step][i].second / cpu.losses[step][i].second - 1);
      };
      for (const Steps& run : nudged) parted = std::max(parted, off(run));
      CAPTURE(step, cpu.losses[step][i].first, parted);
      CHECK(off(gpu) <= std::max(base, other_order * parted));
    }
  CHECK(other_order * parted < 0.01);

  // bfloat16 has 8 bits: its losses are close, and it learns equally well.
  config.precision = "bfloat16";
  const auto half = run_steps(config, 3).losses;
  CHECK(half[0][0].second == Approx(cpu.losses[0][0].second).epsilon(0.05));
  CHECK(std::isfinite(half[2][0].second));
}

TEST_CASE(
    "after its warm-up a detector's training step is one graph replay: no allocation, no wait, and one "
    "launch, which makes the input of the images") {
  const auto data = test_data("bccd");
  if (!data) {
    WARN("there are no real images: set FOVEA_TEST_DATA to a folder that contains bccd");
    return;
  }
  TrainConfig config = tiny_config(*data);
  config.image_size = "64";
  config.batch_size = 2;
  config.device = "cuda";
  config.precision = "bfloat16";
  for (const cuda::Execution execution : executions()) {
    const WithExecution with(execution);
    CAPTURE(execution == cuda::Execution::deferred);
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
    CHECK(counters[1].launches - counters[0].launches > 250);  // the second warm-up step, kernel by kernel
    constexpr int64_t inputs = 6;  // four of the batch, and the inputs of the update and the average
    for (const size_t step : {3u, 4u, 5u}) {
      CAPTURE(step);
      CHECK(counters[step].graph_replays == counters[step - 1].graph_replays + 1);
      CHECK(counters[step].launches == counters[step - 1].launches + 1);
      CHECK(counters[step].allocations == counters[step - 1].allocations);
      CHECK(counters[step].synchronizations == counters[step - 1].synchronizations);
      CHECK(counters[step].copies - counters[step - 1].copies <= inputs);
      // A host that is two steps ahead waits, at most once for each input.
      CHECK(counters[step].throttles - counters[step - 1].throttles <= inputs);
    }
    if (execution == cuda::Execution::deferred)
      CHECK(counters[5].throttles == counters[4].throttles + inputs);
  }
}
