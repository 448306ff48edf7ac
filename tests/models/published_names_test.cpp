#include "models/published_names.h"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>
#include <set>

#include "core/file.h"
#include "models/efficientdet.h"
#include "models/weights.h"
#include "nn/io/safetensors.h"
#include "tests/support/test_data.h"

using namespace fovea;
using Catch::Contains;

namespace {

std::vector<std::string> names_in(const Module& model) {
  std::vector<std::string> names;
  for (const NamedTensor& t : state_dict(model)) names.push_back(t.name);
  return names;
}

std::vector<double> all_numbers(const Module& model) {
  std::vector<double> numbers;
  for (const NamedTensor& t : state_dict(model))
    for (const double value : t.tensor.values()) numbers.push_back(value);
  return numbers;
}

}  // namespace

// tests/golden/published_names.json: names and shapes of the state_dict of efficientnet_pytorch's
// efficientnet-b0, and of zylo117's D0, made by make_published_names.py.
TEST_CASE("the names and shapes of other implementations' networks match one for one") {
  const auto golden = nlohmann::json::parse(read_file(FOVEA_SOURCE_DIR "/tests/golden/published_names.json"));
  Random random(1);
  const EfficientNet classifier(efficientnet_spec("tf_efficientnet_b0"), 1000, random);
  const EfficientDet detector(efficientdet_spec("tf_efficientdet_d0"), 90, random);
  const auto check = [&](const Module& model, PublishedNames names, const nlohmann::json& theirs) {
    const auto translated = translate_names(names_in(model), names);
    std::set<std::string> met;
    for (const NamedTensor& weight : published_weights(model)) {
      CAPTURE(weight.name);
      REQUIRE(translated.contains(weight.name));
      const std::string& name = translated.at(weight.name);
      CAPTURE(name);
      REQUIRE(theirs.contains(name));
      const auto sizes = weight.tensor.shape().sizes();
      CHECK(theirs[name].get<std::vector<int64_t>>() == std::vector<int64_t>(sizes.begin(), sizes.end()));
      CHECK(met.insert(name).second);
    }
    CHECK(met.size() == theirs.size());
  };
  check(classifier, PublishedNames::efficientnet_pytorch, golden["efficientnet_pytorch"]);
  check(detector, PublishedNames::zylo117, golden["zylo117"]);
}

TEST_CASE("parts have their names in the other implementations") {
  Random random(1);
  const EfficientDet detector(efficientdet_spec("tf_efficientdet_d0"), 90, random);
  const auto zylo = translate_names(names_in(detector), PublishedNames::zylo117);
  // In the block without expansion, the numbers of convolutions and norms are one lower.
  CHECK(zylo.at("backbone.blocks.0.0.conv_pw.weight") ==
        "backbone_net.model._blocks.0._project_conv.conv.weight");
  CHECK(zylo.at("backbone.blocks.0.0.bn2.weight") == "backbone_net.model._blocks.0._bn2.weight");
  CHECK(zylo.at("backbone.blocks.2.1.conv_pw.weight") ==
        "backbone_net.model._blocks.4._expand_conv.conv.weight");
  CHECK(zylo.at("backbone.blocks.2.1.bn1.bias") == "backbone_net.model._blocks.4._bn0.bias");
  // P6 down, P4 up, and their own copies of the features' channels
  CHECK(zylo.at("fpn.cell.1.fnode.0.combine.edge_weights") == "bifpn.1.p6_w1");
  CHECK(zylo.at("fpn.cell.0.fnode.4.combine.edge_weights") == "bifpn.0.p4_w2");
  CHECK(zylo.at("fpn.cell.0.fnode.4.combine.resample.1.conv.conv.weight") ==
        "bifpn.0.p4_down_channel_2.0.conv.weight");
  CHECK(zylo.at("fpn.cell.2.fnode.7.after_combine.conv.bn.running_var") ==
        "bifpn.2.conv7_down.bn.running_var");
  CHECK(zylo.at("box_net.bn_rep.2.4.bn.weight") == "regressor.bn_list.4.2.weight");
}

TEST_CASE("weights under others' names are saved, recognised and loaded to the same numbers") {
  const TemporaryFolder folder;
  Random first(1), second(2);
  const EfficientNet classifier(efficientnet_spec("efficientnet_b-3"), 5, first),
      other(efficientnet_spec("efficientnet_b-3"), 5, second);
  save_published(folder / "c.safetensors", classifier, PublishedNames::efficientnet_pytorch);
  CHECK(SafetensorsFile(folder / "c.safetensors").find("_blocks.0._depthwise_conv.weight"));
  CHECK(all_numbers(other) != all_numbers(classifier));
  load_published(folder / "c.safetensors", other);
  CHECK(all_numbers(other) == all_numbers(classifier));

  EfficientDetSpec spec = efficientdet_spec("efficientdet_d-3");
  spec.fpn.bias_before_norm = true;
  const EfficientDet detector(spec, 5, first), another(spec, 5, second);
  save_published(folder / "d.safetensors", detector, PublishedNames::zylo117);
  CHECK(load_pretrained(folder / "d.safetensors", another).metadata.at("names") == "zylo117's EfficientDet");
  CHECK(all_numbers(another) == all_numbers(detector));
  CHECK(classes_in_weights(SafetensorsFile(folder / "d.safetensors"), 9) == 5);
  CHECK(classes_in_weights(SafetensorsFile(folder / "c.safetensors"), 9) == 5);

  CHECK_THROWS_WITH(save_published(folder / "e", detector, PublishedNames::efficientnet_pytorch),
                    Contains("cannot have the names of efficientnet_pytorch"));
  CHECK_THROWS_WITH(save_published(folder / "e", classifier, PublishedNames::zylo117),
                    Contains("cannot have the names of zylo117"));
}

TEST_CASE(
    "a detector loads its backbone from efficientnet_pytorch's names, and a classifier from zylo117's") {
  const TemporaryFolder folder;
  Random first(1), second(2);
  const EfficientNet classifier(efficientnet_spec("efficientnet_b-3"), 5, first);
  const EfficientDet detector(efficientdet_spec("efficientdet_d-3"), 5, second);
  const auto stem = [](const Module& model, const std::string& name) {
    for (const NamedTensor& t : state_dict(model))
      if (t.name == name) return t.tensor.values();
    return std::vector<double>();
  };
  save_published(folder / "c.safetensors", classifier, PublishedNames::efficientnet_pytorch);
  const LoadedWeights taken = load_pretrained(folder / "c.safetensors", detector);
  CHECK(stem(detector, "backbone.blocks.3.0.bn2.weight") == stem(classifier, "blocks.3.0.bn2.weight"));
  CHECK(stem(detector, "backbone.conv_stem.weight") == stem(classifier, "conv_stem.weight"));
  CHECK(std::count_if(taken.unused.begin(), taken.unused.end(),
                      [](const auto& name) { return name.starts_with("_fc"); }) == 2);

  const EfficientDet source(efficientdet_spec("efficientdet_d-3"), 5, first);
  save_published(folder / "d.safetensors", source, PublishedNames::zylo117);
  load_pretrained(folder / "d.safetensors", classifier);
  CHECK(stem(classifier, "conv_stem.weight") == stem(source, "backbone.conv_stem.weight"));
}
