// A training step of EfficientDet against effdet's: losses, gradients, running statistics, and where twenty
// steps lead. tests/golden/make_exactness_goldens.py made the numbers.
#include <catch2/catch.hpp>

#include "models/efficientdet.h"
#include "models/weights.h"
#include "ops/arithmetic.h"
#include "ops/detection_loss.h"
#include "tests/support/formula.h"
#include "tests/support/test_data.h"
#include "train/matching.h"
#include "train/optimizer.h"

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

struct Losses {
  Tensor total, classes, boxes;
};

// The loss of effdet's DetectionLoss on formula::objects().
class Loss {
 public:
  Loss(const EfficientDet& model, int64_t batch, int size, double anchor_scale) {
    AnchorOptions options = model.spec().anchors;
    options.anchor_scale = anchor_scale;
    const std::vector<Box> anchors = generate_anchors(size, size, options);
    const AnchorMatcher matcher(anchors);
    const auto objects = formula::objects(batch, size, size, int(model.classes()));
    const int64_t count = int64_t(anchors.size());
    class_targets_ = Tensor({batch, count}, DType::int32);
    box_targets_ = Tensor({batch, count, 4});
    std::vector<MatchTruths> truths;
    for (const auto& image : objects) truths.push_back({image.boxes, image.labels});
    positives_ =
        matcher.match_batch(truths, class_targets_.span<int32_t>(), box_targets_.span<float>()).positives;
  }
  Losses operator()(const DetectorOutput& output) const {
    const Tensor classes = focal_loss(output.class_logits, class_targets_, double(positives_) + 1);
    const Tensor boxes = huber_loss(output.box_codes, box_targets_, double(positives_) + 1);
    return {classes + 50 * boxes, classes, boxes};
  }

 private:
  Tensor class_targets_, box_targets_;
  int64_t positives_ = 0;
};

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
  Random noise(1);
  const Losses losses = Loss(*model, 2, 256, 4)(model->forward(formula::images(2, 256, 256), noise));
  losses.total.backward();
  CHECK(losses.total.item() == Approx(kept("loss/total")[0]).epsilon(1e-3));
  CHECK(losses.classes.item() == Approx(kept("loss/class")[0]).epsilon(1e-3));
  CHECK(losses.boxes.item() == Approx(kept("loss/box")[0]).epsilon(1e-3));
  // published_weights() lays out tensors: the gradients take the weights' places for it.
  for (const NamedTensor& p : model->parameters()) {
    REQUIRE(p.tensor.grad().defined());
    p.tensor.copy_from(p.tensor.grad().clone());
  }
  double worst = 0;
  for (const NamedTensor& tensor : published_weights(*model)) {
    const bool statistics = tensor.name.find("running_") != std::string::npos;
    const double difference = formula::difference(
        tensor.name, tensor.tensor.values(), kept((statistics ? "statistics/" : "gradient/") + tensor.name));
    CAPTURE(tensor.name);
    CHECK(difference < 1e-3);
    worst = std::max(worst, difference);
  }
  INFO("largest relative difference " << worst);
  CHECK(worst > 0);
}

TEST_CASE("twenty steps of SGD lose what PyTorch's lose") {
  const SafetensorsFile file(goldens + "training.safetensors");
  const std::vector<double> expected = file.read(*file.find("losses")).values();
  REQUIRE(expected.size() == 20);
  const auto model = make("efficientdet_d-2", 3);
  const Loss loss(*model, 2, 256, 4);
  const Tensor images = formula::images(2, 256, 256);
  Optimizer optimizer(model->parameters(), {.momentum = 0.9, .weight_decay = 0, .clip_norm = 0});
  Random noise(1);
  model->set_training(true);
  double worst = 0;
  for (size_t step = 0; step < expected.size(); ++step) {
    model->clear_gradients();
    const Tensor total = loss(model->forward(images, noise)).total;
    total.backward();
    optimizer.update(int64_t(step), 0.002);
    CAPTURE(step);
    CHECK(total.item() == Approx(expected[step]).epsilon(1e-3));
    worst = std::max(worst, std::abs(total.item() / expected[step] - 1));
  }
  INFO("largest relative difference " << worst);
  CHECK(worst > 0);
}
