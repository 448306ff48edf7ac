// Trainings whose input changes in size: TrainConfig::multi_scale.
#include <array>
#include <catch2/catch.hpp>
#include <cmath>
#include <map>

#include "cuda/runtime/counters.h"
#include "tests/support/execution.h"
#include "tests/support/shapes.h"
#include "train/detection/detection_recipe.h"
#include "train/detection/detection_task.h"
#include "train/diagnose/memory.h"
#include "train/loop/resolve_config.h"
#include "train/loop/training_step.h"

using namespace fovea;
using Catch::Contains;

namespace {

using Sizes = std::vector<std::array<int, 2>>;

// Inputs of 32, 64 and 96 pixels.
TrainConfig tiny_config(const std::string& box_loss = "huber") {
  TrainConfig config;
  config.box_loss = box_loss;
  config.data = shapes();
  config.model = "efficientdet_d-3";
  config.image_size = "64";
  config.multi_scale = 0.5;
  config.batch_size = 2;
  config.steps = 400;
  config.precision = "float32";
  return resolve_config(config, 12);
}

DetectionTask task_of(const TrainConfig& config) {
  return {config, open_dataset(config.data, "train"), open_dataset(config.data, "val")};
}

}  // namespace

TEST_CASE("the sizes of a training's input are multiples of 32 of nearly the same shape") {
  const auto sizes = [](double multi_scale, std::array<int, 2> size) {
    TrainConfig config;
    config.multi_scale = multi_scale;
    return training_sizes(config, size);
  };
  CHECK(sizes(0, {75, 90}) == Sizes{{75, 90}});
  CHECK(sizes(0.25, {256, 256}) == Sizes{{192, 192}, {224, 224}, {256, 256}, {288, 288}, {320, 320}});
  CHECK(sizes(0.2, {240, 320}) == Sizes{{192, 256}, {224, 288}, {256, 320}, {256, 352}, {288, 384}});
  CHECK(sizes(0.5, {96, 16}) == Sizes{{64, 32}, {96, 32}, {128, 32}});
  CHECK_THROWS_WITH(sizes(0.25, {64, 64}),
                    Contains("`multi_scale` is 0.25 and the input 64x64 px: less than two sizes"));
  CHECK_THROWS_WITH(sizes(0.01, {75, 75}), Contains("give more or a larger `image_size`"));
}

TEST_CASE("the size follows from the seed and the step, and stays for ten steps") {
  TrainConfig config = tiny_config();
  const DetectionDataset dataset = open_dataset(config.data, "train");
  const Detector detector(config, dataset.class_names);
  const auto drawn = [&](int64_t batches_of_a_step) {
    config.accumulate = batches_of_a_step;
    const DetectionBatches batches(config, dataset, detector);
    std::vector<int64_t> sides;
    for (int64_t index = 0; index < 300 * batches_of_a_step; ++index)
      sides.push_back(batches.empty_images(index).size(1));
    return sides;
  };
  const std::vector<int64_t> sides = drawn(1);
  std::map<int64_t, int> counts;
  for (size_t step = 0; step < sides.size(); ++step) {
    ++counts[sides[step]];
    CHECK(sides[step] == sides[step / 10 * 10]);
  }
  CHECK(counts.size() == 3);
  for (const auto& [side, count] : counts) {
    CHECK((side == 32 || side == 64 || side == 96));
    CHECK(count >= 50);  // of 300
  }
  CHECK(drawn(1) == sides);
  const std::vector<int64_t> accumulated = drawn(3);
  for (size_t index = 0; index < accumulated.size(); ++index) CHECK(accumulated[index] == sides[index / 3]);
  config.seed = 2;
  CHECK(drawn(1) != sides);
}

TEST_CASE("batches of each size have that size's anchors, mosaics and mixed images too") {
  TrainConfig config = tiny_config();
  config.mosaic = config.mixup = 0.5;
  DetectionTask task = task_of(config);
  std::map<int64_t, int64_t> positives;
  for (int64_t index = 0; index < 200; index += 10) {
    const Batch batch = task.make_batch(index);
    const int side = int(batch.images.size(1));
    CHECK(batch.images.shape() == Shape{2, side, side, 3});
    const int64_t anchors = count_anchors(side, side, task.detector().model().spec().anchors);
    CHECK(batch.targets[0].shape() == Shape{2, anchors});
    CHECK(batch.targets[1].shape() == Shape{2, anchors, 4});
    positives[side] += int64_t(batch.targets[2].item()) - 1;
    CHECK(task.make_batch(index).images.values() == batch.images.values());
  }
  CHECK(positives.size() == 3);
  for (const auto& [side, count] : positives) CHECK(count > 0);
}

TEST_CASE("the loss falls while the input changes in size") {
  TrainConfig config = tiny_config("ciou");  // which reads the anchors
  config.scale_min = config.scale_max = 1;
  config.horizontal_flip = false;
  DetectionDataset two = open_dataset(config.data, "train");
  two.images.resize(2);
  DetectionTask task(config, two, two);
  task.model().set_training(true);
  TrainingStep steps(task, config);
  steps.start(0, 60);
  std::vector<double> losses;
  for (int64_t step = 0; step < 60; ++step) {
    steps.run(step, 0.003, false);
    if (step % 20 == 19) losses.push_back(steps.take_losses()[0].second);
  }
  CAPTURE(losses[0], losses[1], losses[2]);
  CHECK(losses[2] < 0.85 * losses[0]);
}

TEST_CASE("steps of changing size have the same losses on CUDA as on the CPU, and are not captured") {
  TrainConfig config = tiny_config("ciou");
  config.batch_size = 1;
  const auto sides = [&] {
    DetectionTask task = task_of(config);
    return std::array{task.make_batch(9).images.size(1), task.make_batch(10).images.size(1)};
  };
  while (sides() != std::array<int64_t, 2>{64, 32}) ++config.seed;
  const auto losses_of = [&](const std::string& device) {
    config.device = device;
    DetectionTask task = task_of(config);
    GradientStep gradients(task, config);
    std::vector<double> losses;
    gradients.start(9, 11);
    for (int64_t step = 9; step < 11; ++step) {
      gradients.load(step);
      for (const NamedTensor& loss : gradients.compute()) losses.push_back(loss.tensor.item());
    }
    return losses;
  };
  const std::vector<double> expected = losses_of("cpu");
  for (const cuda::Execution execution : executions()) {
    const WithExecution with(execution);
    const std::vector<double> losses = losses_of("cuda");
    REQUIRE(losses.size() == expected.size());
    for (size_t i = 0; i < losses.size(); ++i) CHECK(losses[i] == Approx(expected[i]).epsilon(1e-3));
  }
  DetectionTask task = task_of(config);
  TrainingStep steps(task, config);
  const int64_t replays = cuda::counters().graph_replays;
  steps.start(9, 12);  // the third would be captured
  for (int64_t step = 9; step < 12; ++step) steps.run(step, 0.001, false);
  CHECK(std::isfinite(steps.take_losses()[0].second));
  CHECK(cuda::counters().graph_replays == replays);
}

TEST_CASE("the memory that is predicted is that of the largest input") {
  TrainConfig config = tiny_config();
  const StepMemory varied = step_memory(config, 3);
  config.multi_scale = 0;
  CHECK(step_memory(config, 3).peak < varied.peak);
  config.image_size = "96";
  config.anchor_scale = detector_spec(tiny_config()).anchors.anchor_scale;
  CHECK(step_memory(config, 3).peak == varied.peak);
}
