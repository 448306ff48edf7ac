// The losses of a configuration, in the first steps of a training.
#include "train/detection/detection_recipe.h"

#include <catch2/catch.hpp>

#include "tests/support/shapes.h"
#include "train/classification/classification_recipe.h"
#include "train/detection/detection_task.h"
#include "train/loop/gradient_step.h"
#include "train/loop/resolve_config.h"
#include "train/optim/optimizer.h"

using namespace fovea;

namespace {

TrainConfig tiny_config(const std::string& box_loss) {
  TrainConfig config;
  config.data = shapes();
  config.model = "efficientdet_d-3";
  config.image_size = "64";
  config.batch_size = 2;
  config.overfit = 2;  // no augmentation
  config.steps = 20;
  config.box_loss = box_loss;
  return config;
}

// The losses of the first steps, which use the same two images.
std::vector<NamedValues> losses_of(const TrainConfig& given, int64_t steps) {
  DetectionDataset two = open_dataset(given.data, "train");
  two.images.resize(2);
  const TrainConfig config = resolve_config(given, 2);
  DetectionTask task(config, two, two);
  task.model().set_training(true);
  Optimizer optimizer(task.model().parameters(), optimizer_options(config));
  GradientStep gradients(task, config);
  gradients.start(0, steps);
  std::vector<NamedValues> all;
  for (int64_t step = 0; step < steps; ++step) {
    gradients.load(step);
    NamedValues losses;
    for (const NamedTensor& loss : gradients.compute()) losses.emplace_back(loss.name, loss.tensor.item());
    all.push_back(losses);
    optimizer.update(step, 0.003);
  }
  return all;
}

}  // namespace

TEST_CASE("a few steps lower each box loss, and the sum has the weight of that loss") {
  for (const char* name : {"huber", "giou", "diou", "ciou"}) {
    CAPTURE(name);
    const auto losses = losses_of(tiny_config(name), 20);
    const NamedValues &first = losses.front(), &last = losses.back();
    const double weight = name == std::string("huber") ? 50 : 1;
    for (const NamedValues& step : {first, last})
      CHECK(step[0].second == Approx(step[1].second + weight * step[2].second).epsilon(1e-5));
    CAPTURE(first[2].second, last[2].second);
    CHECK(last[2].second < 0.8 * first[2].second);
    CHECK(last[1].second < first[1].second);
  }
}

TEST_CASE("class weights scale the loss of classes and not that of boxes") {
  const std::vector<std::string> names = open_dataset(shapes(), "train").class_names;
  const auto first_losses = [&](const std::string& weights) {
    TrainConfig config = tiny_config("huber");
    config.class_weights = weights;
    return losses_of(config, 1).front();
  };
  const NamedValues plain = first_losses("none");
  std::string threes;  // every class three times
  for (const std::string& name : names) threes += (threes.empty() ? "" : ",") + name + "=3";
  const NamedValues weighed = first_losses(threes);
  CHECK(weighed[1].second == Approx(3 * plain[1].second).epsilon(1e-5));
  CHECK(weighed[2].second == plain[2].second);
  CHECK(first_losses(names[0] + "=3")[1].second > plain[1].second);
  CHECK(first_losses(names[0] + "=3")[1].second < weighed[1].second);
}

TEST_CASE("the first step with ciou and class weights has the same losses on the CPU and on CUDA") {
  TrainConfig config = tiny_config("ciou");
  config.class_weights = "auto";
  config.precision = "float32";
  const NamedValues expected = losses_of(config, 1).front();
  config.device = "cuda";
  const NamedValues losses = losses_of(config, 1).front();
  for (size_t i = 0; i < losses.size(); ++i)
    CHECK(losses[i].second == Approx(expected[i].second).epsilon(1e-4));
}

TEST_CASE("a classifier's images have the weight of their class") {
  TrainConfig config;
  config.task = "classification";
  config.model = "efficientnet_b-2";
  config.batch_size = 2;
  const auto model = make_classification_network(config, 2);
  const Tensor logits = from_values({2, 2}, {0, 1, 2, 0}), labels = from_values({2}, {0, 1}, DType::int32);
  const auto loss = [&](const std::vector<double>& weights) {
    const Recipe recipe = classification_recipe(model, casts_of(*model, DType::float32), config, weights);
    return recipe.losses({logits}, {labels}).front().tensor.item();
  };
  const double first = loss({2, 1}) - loss({1, 1}), second = loss({1, 2}) - loss({1, 1});
  CHECK(loss({}) == Approx(first + second));
  CHECK(first == Approx(std::log1p(std::exp(1.0)) / 2));
}
