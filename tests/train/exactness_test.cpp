// A training step of EfficientDet against effdet's: losses, gradients, running statistics, and the result of
// twenty steps. tests/golden/make_exactness_goldens.py made the numbers.
#include <catch2/catch.hpp>

#include "models/weights.h"
#include "tests/support/objects_loss.h"
#include "tests/support/test_data.h"
#include "train/optim/optimizer.h"

using namespace fovea;

namespace {

const std::string goldens = FOVEA_SOURCE_DIR "/tests/golden/exactness/";

std::unique_ptr<EfficientDet> make(const std::string& name, int64_t classes) {
  Random random(1);
  EfficientDetSpec spec = efficientdet_spec(name);
  spec.backbone.drop_path = 0;
  auto model = std::make_unique<EfficientDet>(spec, classes, random);
  auto weights = published_weights(*model);
  formula::fill_published(weights);
  const TemporaryFolder folder;
  write_safetensors(folder / "weights", {}, weights);
  load_weights(folder / "weights", *model);
  return model;
}

}  // namespace

TEST_CASE("loss, every gradient and the running statistics of D0 are effdet's") {
  const SafetensorsFile file(goldens + "training_step.safetensors");
  const auto kept = [&](const std::string& name) {
    const auto* entry = file.find(name);
    INFO(name);
    REQUIRE(entry);
    return file.read(*entry).values();
  };
  const auto model = make("efficientdet_d0", 90);
  const Tensor images = formula::images(2, 256, 256, file.metadata().at("images"));
  const ObjectsLoss::Losses losses = ObjectsLoss(*model, 2, 256, 256)(model->outputs(images));
  losses.total.backward();
  CHECK(losses.total.item() == Approx(kept("loss/total")[0]).epsilon(1e-3));
  CHECK(losses.classes.item() == Approx(kept("loss/class")[0]).epsilon(1e-3));
  CHECK(losses.boxes.item() == Approx(kept("loss/box")[0]).epsilon(1e-3));
  // published_weights() converts layouts of weights, so the gradients take the weights' places.
  for (const NamedTensor& p : model->parameters()) {
    REQUIRE(p.tensor.grad().defined());
    p.tensor.copy_from(p.tensor.grad().clone());
  }
  double whole = 0;  // the norm of all gradients
  for (const auto& entry : file.entries())
    if (entry.name.starts_with("gradient/")) whole = std::hypot(whole, kept(entry.name)[0]);
  double worst = 0;
  for (const NamedTensor& tensor : published_weights(*model)) {
    const bool statistics = tensor.name.find("running_") != std::string::npos;
    const std::vector<double> expected = kept((statistics ? "statistics/" : "gradient/") + tensor.name);
    // A bias that a later batch norm removes has no gradient, so its rounding error is compared with the norm
    // of all gradients.
    const double floor = expected[0] == 0 ? whole : 0;
    const double difference = formula::difference(tensor.name, tensor.tensor.values(), expected, floor);
    CAPTURE(tensor.name);
    CHECK(difference < 1e-3);
    worst = std::max(worst, difference);
  }
  INFO("largest relative difference " << worst);
  CHECK(worst > 0);
}

TEST_CASE("twenty steps of SGD have PyTorch's losses") {
  const SafetensorsFile file(goldens + "training.safetensors");
  const std::vector<double> expected = file.read(*file.find("losses")).values();
  REQUIRE(expected.size() == 20);
  const auto model = make("efficientdet_d-2", 3);
  const ObjectsLoss loss(*model, 2, 256, 256);
  const Tensor images = formula::images(2, 256, 256);
  Optimizer optimizer(model->parameters(), {.momentum = 0.9, .weight_decay = 0, .clip_norm = 0});
  model->set_training(true);
  double worst = 0;
  for (size_t step = 0; step < expected.size(); ++step) {
    model->clear_gradients();
    const Tensor total = loss(model->outputs(images)).total;
    total.backward();
    optimizer.update(int64_t(step), 0.002);
    CAPTURE(step);
    CHECK(total.item() == Approx(expected[step]).epsilon(1e-3));
    worst = std::max(worst, std::abs(total.item() / expected[step] - 1));
  }
  INFO("largest relative difference " << worst);
  CHECK(worst > 0);
}
