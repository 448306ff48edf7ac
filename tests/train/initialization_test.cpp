#include "train/loop/initialization.h"

#include <catch2/catch.hpp>

#include "core/file.h"
#include "models/weights.h"
#include "tests/support/test_data.h"
#include "train/data/synth/synth.h"
#include "train/detection/detector.h"
#include "train/run/run.h"

using namespace fovea;
using Catch::Contains;

namespace {

TrainConfig small_config(const std::string& data) {
  TrainConfig config;
  config.data = data;
  config.model = "efficientdet_d-3";
  config.image_size = "64";
  config.batch_size = 2;
  config.steps = 3;
  config.validate_every = 0;
  return config;
}

std::string draw(const TemporaryFolder& folder) {
  SynthOptions options;
  options.train_images = 4;
  options.val_images = 2;
  options.width = options.height = 64;
  synthesize_dataset(folder / "data", options);
  return folder / "data";
}

// The published form of a detector of ten classes.
std::string published(const TemporaryFolder& folder) {
  Random random(9);
  const EfficientDet model(efficientdet_spec("efficientdet_d-3"), 10, random);
  save_weights(folder / "efficientdet_d-3.safetensors", model);
  return folder / "efficientdet_d-3.safetensors";
}

}  // namespace

TEST_CASE("a frozen backbone stays as it was in the file, and the rest does not") {
  const TemporaryFolder folder;
  TrainConfig config = small_config(draw(folder));
  config.init_from = published(folder);
  config.freeze = GENERATE("backbone", "batch-norm");
  TrainingRun run = start_run(config, folder / "run");
  CHECK_THAT(run.description(), Contains("new: class_net.predict.conv_pw.weight and 1 more"));
  REQUIRE(run.train({}));
  const SafetensorsFile start(config.init_from);
  Detector trained(ModelFile(folder / "run/last.safetensors"));
  int changed = 0, same = 0;
  for (const NamedTensor& weight : published_weights(trained.model())) {
    const auto* entry = start.find(weight.name);
    if (entry->shape != weight.tensor.shape()) continue;  // the class head
    const bool equal = start.read_float32(*entry).values() == weight.tensor.values();
    const bool norm = weight.name.find(".bn") != std::string::npos;
    CAPTURE(config.freeze, weight.name);
    if (config.freeze == "backbone" ? is_backbone(weight.name) : norm)
      CHECK(equal);
    else
      (equal ? same : changed)++;
  }
  CHECK(changed > 10 * same);  // an edge weight or two may stay
}

TEST_CASE("a stopped run continues without the file it started from") {
  const TemporaryFolder folder;
  TrainConfig config = small_config(draw(folder));
  config.init_from = published(folder);
  std::atomic<bool> stop = true;
  TrainHooks hooks;
  hooks.stop = &stop;
  CHECK_FALSE(start_run(config, folder / "run").train(hooks));
  std::filesystem::remove(config.init_from);
  CHECK(resume_run(folder / "run").train({}));
}

TEST_CASE("weights that do not fit are reported before anything is written") {
  const TemporaryFolder folder;
  TrainConfig config = small_config(draw(folder));
  config.init_from = folder / "missing.safetensors";
  CHECK_THROWS_WITH(start_run(config, folder / "run"), Contains("missing.safetensors cannot be read"));
  CHECK_FALSE(std::filesystem::exists(folder / "run"));
  config.freeze = "spine";
  CHECK_THROWS_WITH(start_run(config, folder / "run"), Contains("`freeze` is 'spine'"));
  config.freeze = "backbone";
  config.init_from = "";
  CHECK_THROWS_WITH(start_run(config, folder / "run"), Contains("without `init_from`"));
}

TEST_CASE("published weights become a detector with only a path") {
  const TemporaryFolder folder;
  const std::string path = published(folder);
  const ModelFile file(path);  // the model's name is in the file's
  CHECK_FALSE(file.is_checkpoint());
  CHECK(file.state().config.model == "efficientdet_d-3");
  CHECK(file.state().class_names.size() == 10);
  CHECK(file.state().category_ids.back() == 10);
  Detector detector(file);
  CHECK(detector.height() == 128);
  CHECK_FALSE(detector.model().training());

  std::filesystem::rename(path, folder / "model.safetensors");
  CHECK_THROWS_WITH(ModelFile(folder / "model.safetensors"), Contains("give `model`"));
  write_file_atomically(folder / "names", "# ten\na\nb\nc\nd\ne\nf\ng\nh\ni\nj\n");
  const ModelFile named(folder / "model.safetensors", {"efficientdet_d-3", folder / "names"});
  CHECK(named.state().class_names.back() == "j");
  write_file_atomically(folder / "names", "a\n");
  CHECK_THROWS_WITH(ModelFile(folder / "model.safetensors", {"efficientdet_d-3", folder / "names"}),
                    Contains("has 1 class names, but the weights have 10 classes"));
  CHECK_THROWS_WITH(Detector(ModelFile(folder / "model.safetensors", {"efficientdet_d-2", ""})),
                    Contains("another shape in the file"));
}
