// Compares outputs with those of timm's and effdet's models. tests/golden/make_exactness_goldens.py made the
// numbers, from weights that both sides compute with the same formula.
#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "core/file.h"
#include "models/efficientdet.h"
#include "models/resnet.h"
#include "models/weights.h"
#include "nn/trace.h"
#include "tests/support/formula.h"
#include "tests/support/test_data.h"

using namespace fovea;

namespace {

const std::string goldens = FOVEA_SOURCE_DIR "/tests/golden/exactness/";

// Without dropout and stochastic depth, whose random numbers cannot be equal; the running averages become
// those of the latest batch.
std::unique_ptr<Module> make(const std::string& name) {
  Random random(1);
  if (name.find("efficientdet") != std::string::npos) {
    EfficientDetSpec spec = efficientdet_spec(name);
    spec.backbone.drop_path = 0;
    spec.backbone.norm.momentum = spec.fpn.norm.momentum = 1;
    return std::make_unique<EfficientDet>(spec, 90, random);
  }
  EfficientNetSpec spec = efficientnet_spec(name);
  spec.drop_path = spec.dropout = 0;
  spec.norm.momentum = 1;
  return std::make_unique<EfficientNet>(spec, 1000, random);
}

std::vector<NamedTensor> outputs(const Module& model, const Tensor& images) {
  std::vector<NamedTensor> result;
  if (const auto* classifier = dynamic_cast<const EfficientNet*>(&model)) {
    result.push_back({"logits", classifier->forward(images)});
    return result;
  }
  const auto& detector = dynamic_cast<const EfficientDet&>(model);
  const Tensors levels = detector.pyramid(images);  // computed again inside outputs()
  for (size_t i = 0; i < levels.size(); ++i) result.push_back({fmt::format("level {}", 3 + i), levels[i]});
  const DetectorOutput output = detector.outputs(images);
  result.push_back({"class_logits", output.class_logits});
  result.push_back({"box_codes", output.box_codes});
  return result;
}

int64_t multiply_adds(const Module& model, int64_t size) {
  const NoGrad no_grad;
  const Trace trace;
  const Tensor images = zeros({1, size, size, 3});
  if (const auto* classifier = dynamic_cast<const EfficientNet*>(&model))
    classifier->forward(images);
  else
    dynamic_cast<const EfficientDet&>(model).outputs(images);
  int64_t sum = 0;
  for (const TracedLayer& layer : trace.layers) sum += layer.multiply_adds;
  return sum;
}

// The multiply-adds for an image of the model's own size. Those of a detector's convolutions are proportional
// to the area as long as every level is whole, and those of its squeeze-excite do not depend on it: a + b
// area. Two small images give the result of a large one, which would take long.
int64_t multiply_adds(const Module& model) {
  if (const auto* classifier = dynamic_cast<const EfficientNet*>(&model))
    return multiply_adds(model, classifier->spec().image_size);
  const EfficientDetSpec& spec = dynamic_cast<const EfficientDet&>(model).spec();
  const int64_t unit = int64_t(1) << spec.fpn.max_level, times = spec.image_size / unit;
  if (spec.image_size % unit) return multiply_adds(model, spec.image_size);  // the lite networks are small
  const int64_t one = multiply_adds(model, unit), four = multiply_adds(model, 2 * unit);
  return one + (four - one) / 3 * (times * times - 1);
}

void check_outputs(const std::string& goldens_file, size_t models) {
  const SafetensorsFile file(goldens + goldens_file);
  // "tf_efficientdet_d0 128x256/evaluation/level 3", grouped by model and mode
  std::map<std::string, std::map<std::string, std::vector<const SafetensorsFile::Entry*>>> groups;
  for (const auto& entry : file.entries()) {
    const size_t first = entry.name.find('/'), second = entry.name.find('/', first + 1);
    groups[entry.name.substr(0, first)][entry.name.substr(first + 1, second - first - 1)].push_back(&entry);
  }
  REQUIRE(groups.size() == models);
  const TemporaryFolder folder;
  const NoGrad no_grad;
  double worst = 0;
  for (const auto& [title, modes] : groups) {
    const std::string name = title.substr(0, title.find(' '));
    const std::string size = title.substr(name.size() + 1);
    const int64_t height = std::stol(size), width = std::stol(size.substr(size.find('x') + 1));
    const auto model = make(name);
    auto weights = published_weights(*model);
    formula::fill_published(weights);
    write_safetensors(folder / "weights", {}, weights);
    load_weights(folder / "weights", *model);
    for (const char* mode : {"training", "evaluation"}) {
      const auto& entries = modes.at(mode);
      model->set_training(std::string(mode) == "training");
      const auto computed = outputs(*model, formula::images(2, height, width));
      REQUIRE(computed.size() == entries.size());
      for (const auto* entry : entries) {
        const std::string output = entry->name.substr(entry->name.rfind('/') + 1);
        const auto found = std::find_if(computed.begin(), computed.end(),
                                        [&](const NamedTensor& t) { return t.name == output; });
        CAPTURE(entry->name);
        REQUIRE(found != computed.end());
        const double difference =
            formula::difference(output, found->tensor.values(), file.read(*entry).values());
        CHECK(difference < 1e-4);
        worst = std::max(worst, difference);
      }
    }
  }
  UNSCOPED_INFO("largest relative difference " << worst);
  CHECK(worst > 0);
}

// The papers' tables (arXiv 1905.11946, table 2; 1911.09070, table 2), in billions. B4 (4.2), B5 (9.9), B7
// (37) and D5 (130) are left out: the published models, also in PyTorch, have 4.39, 10.27, 37.75 and 134.1.
struct Published {
  const char* name;
  double flops;
};
constexpr Published papers[] = {
    {"efficientnet_b0", 0.39}, {"efficientnet_b1", 0.70}, {"efficientnet_b2", 1.0},
    {"efficientnet_b3", 1.8},  {"efficientnet_b6", 19},   {"efficientdet_d0", 2.54},
    {"efficientdet_d1", 6.10}, {"efficientdet_d2", 11.0}, {"efficientdet_d3", 24.9},
    {"efficientdet_d4", 55.2}, {"efficientdet_d6", 226},  {"efficientdet_d7", 325},
    {"efficientdet_d7x", 410}};

}  // namespace

TEST_CASE("outputs are those of timm and effdet, in training and then in evaluation") {
  check_outputs("outputs.safetensors", 24);  // B0 to B7 and D0 to D3, with tf_ and without
}

TEST_CASE("the lite networks' outputs are those of timm and effdet") {
  check_outputs("outputs_lite.safetensors", 6);  // Lite0 to Lite4, and the detector on Lite0
}

TEST_CASE("small ResNets compute what timm's do") {
  const SafetensorsFile file(goldens + "resnets.safetensors");
  const TemporaryFolder folder;
  const NoGrad no_grad;
  for (const auto& [name, height, width, parameters] :
       {std::tuple("resnet18", 97, 130, 11689512), {"resnet34", 64, 64, 21797672}}) {
    CAPTURE(name);
    ResNetSpec spec = resnet_spec(name);
    spec.norm.momentum = 1;
    ResNet model(spec, 1000);
    CHECK(model.parameter_count() == parameters);
    auto weights = published_weights(model);
    formula::fill_published(weights);
    write_safetensors(folder / "weights", {}, weights);
    load_weights(folder / "weights", model);
    const Tensor images = formula::images(2, height, width);
    for (const char* mode : {"training", "evaluation"}) {
      CAPTURE(mode);
      model.set_training(std::string(mode) == "training");
      std::vector<NamedTensor> computed{{"logits", model(images)}};
      if (!model.training()) {
        const Tensors features = model.features(images);
        for (size_t i = 0; i < 3; ++i)
          computed.push_back({fmt::format("stride {}", model.feature_strides()[i]), features[i]});
      }
      for (const NamedTensor& output : computed) {
        CAPTURE(output.name);
        const auto* entry = file.find(fmt::format("{} {}x{}/{}/{}", name, height, width, mode, output.name));
        REQUIRE(entry);
        CHECK(formula::difference(output.name, output.tensor.values(), file.read(*entry).values()) < 1e-4);
      }
    }
  }
  CHECK_THROWS_WITH(resnet_spec("resnet50"), Catch::Contains("choose one of resnet18, resnet34"));
  ResNet features_only(resnet_spec("resnet18"), 0);
  CHECK_THROWS_WITH(features_only(zeros({1, 32, 32, 3})), Catch::Contains("without a classifier"));
}

TEST_CASE("a detector works on any backbone") {
  EfficientDetSpec spec = efficientdet_spec("efficientdet_d-3");
  Random random(1);
  EfficientDet detector(spec, std::make_unique<ResNet>(resnet_spec("resnet18"), 0), 3, random);
  detector.set_training(false);
  const DetectorOutput output = detector.outputs(zeros({1, 128, 128, 3}));
  CHECK(output.class_logits.shape() == Shape{1, count_anchors(128, 128, spec.anchors), 3});
  CHECK(state_dict(detector).front().name == "backbone.conv1.weight");
  struct Coarse : Backbone {
    Tensors features(const Tensor&) const override { return {}; }
    std::vector<int64_t> feature_channels() const override { return {8, 8, 8}; }
    std::vector<int64_t> feature_strides() const override { return {4, 8, 16}; }
  };
  CHECK_THROWS_WITH(EfficientDet(spec, std::make_unique<Coarse>(), 3, random),
                    Catch::Contains("features of strides 4, 8, 16: they must be 8, 16, 32"));
  CHECK_THROWS_WITH(EfficientDet(spec, nullptr, 3, random), Catch::Contains("the backbone is null"));
}

TEST_CASE("parameters and multiply-adds of every published size") {
  std::map<std::string, std::pair<int64_t, int64_t>> expected;  // as timm's and effdet's modules count
  for (const auto& row : nlohmann::json::parse(read_file(goldens + "counts.json")))
    expected[row["model"]] = {row["parameters"].get<int64_t>(), row["multiply_adds"].get<int64_t>()};
  REQUIRE(expected.size() == 40);
  std::map<std::string, int64_t> counted;
  for (const auto& [name, counts] : expected) {
    CAPTURE(name);
    const auto model = make(name);
    CHECK(model->parameter_count() == counts.first);
    if (!name.starts_with("tf_")) continue;  // the same convolutions
    model->set_training(false);
    counted[name] = multiply_adds(*model);
    CHECK(counted[name] == counts.second);
  }
  for (const Published& paper : papers) {
    CAPTURE(paper.name);
    CHECK(double(counted.at(std::string("tf_") + paper.name)) / 1e9 == Approx(paper.flops).epsilon(0.02));
  }
}
