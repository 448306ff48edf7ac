// Accumulated batches against one large batch of the same images.
#include <catch2/catch.hpp>
#include <cmath>

#include "cuda/runtime/profile.h"
#include "ops/support/check_op.h"
#include "tests/support/test_data.h"
#include "train/classification/classification_task.h"
#include "train/data/image/image_io.h"
#include "train/data/synth/synth.h"
#include "train/detection/detection_task.h"
#include "train/loop/gradient_step.h"
#include "train/loop/resolve_config.h"

using namespace fovea;

namespace {

struct StepResult {
  NamedValues losses;
  std::vector<NamedTensor> gradients;
};

// The losses and gradients of one step, batch norm frozen.
template <class T>
StepResult step_of(T& task, const TrainConfig& config, int64_t step) {
  task.model().set_training(true);
  task.model().freeze_statistics(true);
  GradientStep gradients(task, config);
  gradients.start(step, step + 1);
  gradients.load(step);
  StepResult result;
  for (const NamedTensor& loss : gradients.compute())
    result.losses.emplace_back(loss.name, loss.tensor.item());
  for (const NamedTensor& p : task.model().parameters())
    if (p.tensor.grad().defined()) result.gradients.push_back({p.name, p.tensor.grad().to(Device::cpu)});
  return result;
}

// Over all numbers together: those of one tensor may be small compared with the sums they come from.
double relative_difference(const std::vector<NamedTensor>& a, const std::vector<NamedTensor>& b) {
  REQUIRE(a.size() == b.size());
  double difference = 0, size = 0;
  for (size_t i = 0; i < a.size(); ++i)
    for (int64_t k = 0; k < a[i].tensor.numel(); ++k) {
      const double x = a[i].tensor.data<float>()[k], y = b[i].tensor.data<float>()[k];
      difference += (x - y) * (x - y);
      size += x * x;
    }
  REQUIRE(size > 0);
  return std::sqrt(difference / size);
}

TrainConfig tiny_config(const std::string& data) {
  TrainConfig config;
  config.data = data;
  config.model = "efficientdet_d-3";
  config.image_size = "64";
  config.precision = "float32";
  config.steps = 10;
  return config;
}

}  // namespace

TEST_CASE("accumulated batches have the loss and the gradients of one large batch") {
  const TemporaryFolder folder;
  // Images with few objects and with many: the share of positive anchors differs from batch to batch.
  synthesize_dataset(folder / "shapes",
                     {.train_images = 6, .val_images = 1, .width = 64, .height = 64, .classes = 3});
  const DetectionDataset train = open_dataset(folder / "shapes", "train"),
                         val = open_dataset(folder / "shapes", "val");
  for (const char* device : {"cpu", "cuda"}) {
    CAPTURE(device);
    TrainConfig config = tiny_config(folder / "shapes");
    config.device = device;
    const bool simulated = std::string(device) == "cuda";  // slow: half the images
    const int64_t images = simulated ? 2 : 4;
    config.batch_size = images;
    DetectionTask whole(resolve_config(config, 6), train, val);
    const StepResult expected = step_of(whole, config, 1);  // of 4 images: they come from two epochs
    for (int64_t passes = 2; passes <= images; passes *= 2) {
      CAPTURE(passes);
      config.batch_size = images / passes;
      config.accumulate = passes;
      DetectionTask parts(resolve_config(config, 6), train, val);
      const StepResult result = step_of(parts, config, 1);
      REQUIRE(result.losses.size() == 3);
      for (size_t i = 0; i < 3; ++i) {
        CHECK(result.losses[i].first == expected.losses[i].first);
        CHECK(result.losses[i].second == Approx(expected.losses[i].second).epsilon(1e-5));
      }
      CHECK(relative_difference(expected.gradients, result.gradients) < 1e-5);
    }
    if (simulated) continue;
    // The wrong way: each batch divided by its own positives.
    config.batch_size = 1;
    config.accumulate = 1;
    DetectionTask alone(resolve_config(config, 6), train, val);
    double sum = 0;
    for (int64_t step = 4; step < 8; ++step) sum += step_of(alone, config, step).losses[0].second;
    CHECK(sum / 4 != Approx(expected.losses[0].second).epsilon(0.01));
  }
}

TEST_CASE("the weights of a step in bfloat16 are rounded once, however many batches it has") {
  const TemporaryFolder folder;
  synthesize_dataset(folder / "shapes", {.train_images = 2, .val_images = 1, .width = 64, .height = 64});
  TrainConfig config = tiny_config(folder / "shapes");
  config.device = "cuda";
  config.precision = "bfloat16";
  config.batch_size = 1;
  config.accumulate = 2;
  DetectionTask task(resolve_config(config, 2), open_dataset(folder / "shapes", "train"),
                     open_dataset(folder / "shapes", "val"));
  GradientStep gradients(task, config);
  gradients.start(0, 1);
  gradients.load(0);
  const cuda::LaunchTimer timer;
  gradients.compute();
  int roundings = 0, casts = 0;  // images come in bfloat16
  for (const cuda::LaunchTime& launch : timer.launches()) {
    roundings += launch.kernel.starts_with("each_number_chunked<Rounding");
    casts += launch.kernel.starts_with("cast_");
  }
  CHECK(roundings == 1);
  CHECK(casts == 0);
}

TEST_CASE("accumulated batches of a classifier weigh as much as one large batch") {
  const TemporaryFolder folder;
  ClassificationDataset data;
  data.name = "squares";
  data.class_names = {"dark", "bright"};
  for (int i = 0; i < 4; ++i) {
    Image image(32, 32);
    for (size_t k = 0; k < image.pixels.size(); ++k)
      image.pixels[k] = uint8_t((i < 3 ? 40 : 190) + int(k * 7 + size_t(i) * 13) % 40);
    data.images.push_back({fmt::format("{}/{}.png", folder.path(), i), i / 3});
    write_image(data.images.back().file, image);
  }
  TrainConfig config = tiny_config("squares");
  config.task = "classification";
  config.model = "efficientnet_b-3";
  config.image_size = "32";
  config.batch_size = 4;
  ClassificationTask whole(resolve_config(config, 4), data, data);
  const StepResult expected = step_of(whole, config, 0);
  config.batch_size = 1;
  config.accumulate = 4;
  ClassificationTask parts(resolve_config(config, 4), data, data);
  const StepResult result = step_of(parts, config, 0);
  CHECK(result.losses[0].second == Approx(expected.losses[0].second).epsilon(1e-5));
  // Dropout leaves out other features; the bias, before any training, depends only on probabilities of 1/2
  // and the labels.
  const NamedTensor &bias = expected.gradients.back(), &summed = result.gradients.back();
  CHECK(bias.name == "classifier.bias");
  CHECK(bias.tensor.values()[0] == Approx(-0.25).epsilon(0.01));
  CHECK(summed.tensor.values()[0] == Approx(bias.tensor.values()[0]).epsilon(1e-5));
}
