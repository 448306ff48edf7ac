#include "models/efficientnet.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>

#include "nn/trace.h"

using namespace fovea;
using Catch::Contains;

namespace {

int64_t parameter_count(const std::string& name, int64_t classes) {
  Random random(1);
  return EfficientNet(efficientnet_spec(name), classes, random).parameter_count();
}

// For one image of the paper's size, in evaluation.
int64_t multiply_adds(const std::string& name) {
  Random random(1);
  const EfficientNetSpec spec = efficientnet_spec(name);
  EfficientNet model(spec, 1000, random);
  model.set_training(false);
  NoGrad no_grad;
  const Trace trace;
  model.forward(zeros({1, spec.image_size, spec.image_size, 3}));
  int64_t sum = 0;
  for (const TracedLayer& layer : trace.layers) sum += layer.multiply_adds;
  return sum;
}

std::vector<double> train_forward(const EfficientNet& model, const Tensor& images, uint64_t seed) {
  model.rng() = Random(seed);
  return model.forward(images).values();
}

}  // namespace

TEST_CASE("the classifier starts uniform within 1 / sqrt(classes), its bias at 0") {
  Random random(1);
  const EfficientNet model(efficientnet_spec("efficientnet_b-3"), 25, random);
  const std::vector<NamedTensor> parameters = model.parameters();
  const NamedTensor &weight = *(parameters.end() - 2), &bias = parameters.back();
  REQUIRE(weight.name == "classifier.weight");
  double largest = 0;
  for (const double value : weight.tensor.values()) largest = std::max(largest, std::abs(value));
  CHECK(largest == Approx(0.2).epsilon(1e-3));
  CHECK(bias.tensor.values() == std::vector<double>(25, 0.0));
}

TEST_CASE(
    "in evaluation a block is computed at once, and layer by layer under a trace: the same within "
    "rounding") {
  Random random(3);
  EfficientNet model(efficientnet_spec("efficientnet_b-3"), 5, random);
  const Tensor images = randn({2, 75, 64, 3}, random);
  model.forward(images);  // running averages that differ from the initial ones
  model.set_training(false);
  const NoGrad no_grad;
  const std::vector<double> at_once = model.forward(images).values();
  const Trace trace;
  const std::vector<double> by_layers = model.forward(images).values();
  double difference = 0, size = 0;
  for (size_t i = 0; i < by_layers.size(); ++i) {
    difference = std::max(difference, std::abs(at_once[i] - by_layers[i]));
    size = std::max(size, std::abs(by_layers[i]));
  }
  CHECK(difference < 1e-5 * size);
  CHECK(std::count_if(trace.layers.begin(), trace.layers.end(),
                      [](const TracedLayer& layer) { return layer.kind == "squeeze and excite"; }) > 5);
}

TEST_CASE("B0 to B7 have exactly timm's number of parameters") {
  // timm.create_model("tf_efficientnet_b0"), ...: 1000 classes
  const std::vector<int64_t> expected = {5288548,  7794184,  9109994,  12233232,
                                         19341616, 30389784, 43040704, 66347960};
  for (size_t i = 0; i < expected.size(); ++i) {
    CAPTURE(i);
    CHECK(parameter_count(fmt::format("efficientnet_b{}", i), 1000) == expected[i]);
  }
}

TEST_CASE("the models below B0 shrink by the continued rule") {
  // Width 1.1^(-2 n) and depth 1.2^(-2 n). The counts are those of timm's generator for these two factors.
  CHECK(efficientnet_spec("efficientnet_b-2").width == Approx(std::pow(1.1, -4)));
  CHECK(efficientnet_spec("efficientnet_b-2").depth == Approx(std::pow(1.2, -4)));
  CHECK(efficientnet_spec("efficientnet_b-3").image_size == 128);
  CHECK(parameter_count("efficientnet_b-1", 1000) == 3463750);
  CHECK(parameter_count("efficientnet_b-2", 1000) == 2056282);
  CHECK(parameter_count("efficientnet_b-3", 1000) == 1589892);
}

TEST_CASE("a backbone has neither head nor classifier") {
  // B0's head: 320 x 1280 and its norm, and 1280 x 1000 with bias.
  CHECK(parameter_count("efficientnet_b0", 0) == 5288548 - (320 * 1280 + 2 * 1280) - (1280 * 1000 + 1000));
  Random random(1);
  const EfficientNet backbone(efficientnet_spec("efficientnet_b-3"), 0, random);
  CHECK_THROWS_WITH(backbone.forward(zeros({1, 32, 32, 3})), Contains("without a classifier"));
}

TEST_CASE("an EfficientNet is a part of another network in one line") {
  struct Net : Module {
    using Module::Module;
    EfficientNet backbone{*this, "backbone", efficientnet_spec("efficientnet_b-3")};
    EfficientNet classifier{*this, "classifier", efficientnet_spec("efficientnet_b-3"), 5};
  };
  const Net net(3), same(3), other(4);
  CHECK(net.parameters().front().name == "backbone.conv_stem.weight");
  CHECK(net.parameters().back().name == "classifier.classifier.bias");
  CHECK(&net.backbone.rng() == &net.rng());
  const auto first = [](const Net& n) { return n.parameters().front().tensor.values(); };
  CHECK(first(net) == first(same));
  CHECK(first(net) != first(other));
  const Tensor images = zeros({1, 32, 32, 3});
  CHECK(net.backbone.features(images).size() == 3);
  CHECK(net.classifier(images).shape() == Shape{1, 5});
}

TEST_CASE("parameters have timm's names") {
  Random random(1);
  std::vector<std::string> names;
  for (const NamedTensor& p : EfficientNet(efficientnet_spec("efficientnet_b0"), 10, random).parameters())
    names.push_back(p.name);
  for (const char* expected :
       {"conv_stem.weight", "bn1.bias", "blocks.0.0.conv_dw.weight", "blocks.0.0.bn1.weight",
        "blocks.0.0.conv_pw.weight", "blocks.0.0.bn2.weight", "blocks.1.1.conv_pwl.weight",
        "blocks.1.1.bn3.weight", "blocks.6.0.se.conv_reduce.bias", "blocks.5.3.se.conv_expand.weight",
        "conv_head.weight", "bn2.weight", "classifier.weight", "classifier.bias"}) {
    CAPTURE(expected);
    CHECK(std::count(names.begin(), names.end(), expected) == 1);
  }
  CHECK(names.size() == 213);  // timm: len(list(model.parameters()))
}

TEST_CASE(
    "multiply-adds at the paper's sizes are the paper's within 2 %, and those of timm's convolutions "
    "exactly") {
  // timm: elements of each convolution's output times what is summed for one, counted by forward hooks
  const std::vector<std::pair<double, int64_t>> expected = {
      {0.39e9, 385814752}, {0.70e9, 686802832}, {1.0e9, 993561872}};
  for (size_t i = 0; i < expected.size(); ++i) {
    CAPTURE(i);
    const int64_t counted = multiply_adds(fmt::format("efficientnet_b{}", i));
    CHECK(double(counted) == Approx(expected[i].first).epsilon(0.02));
    CHECK(counted == expected[i].second);
  }
}

TEST_CASE("features have strides 8, 16 and 32, rounded up at odd sizes") {
  Random random(1);
  EfficientNet model(efficientnet_spec("efficientnet_b0"), 0, random);
  model.set_training(false);
  CHECK(model.feature_channels() == std::vector<int64_t>{40, 112, 320});
  NoGrad no_grad;
  const Tensors features = model.features(zeros({2, 97, 131, 3}));
  REQUIRE(features.size() == 3);
  CHECK(features[0].shape() == Shape{2, 13, 17, 40});
  CHECK(features[1].shape() == Shape{2, 7, 9, 112});
  CHECK(features[2].shape() == Shape{2, 4, 5, 320});
}

TEST_CASE("an image smaller than the strides still gives one cell") {
  Random random(1);
  EfficientNet model(efficientnet_spec("efficientnet_b-3"), 4, random);
  model.set_training(false);
  CHECK(model.features(zeros({1, 1, 3, 3}))[2].shape() == Shape{1, 1, 1, model.feature_channels()[2]});
  CHECK(model.forward(zeros({1, 1, 3, 3})).shape() == Shape{1, 4});
}

TEST_CASE("in training the seed decides dropout and stochastic depth, in evaluation nothing is random") {
  Random random(1);
  EfficientNet model(efficientnet_spec("efficientnet_b-3"), 5, random);
  const Tensor images = randn({4, 48, 40, 3}, random);
  const auto first = train_forward(model, images, 7);
  CHECK(train_forward(model, images, 7) == first);
  CHECK(train_forward(model, images, 8) != first);

  model.set_training(false);
  const auto evaluated = train_forward(model, images, 7);
  CHECK(train_forward(model, images, 8) == evaluated);
  CHECK(evaluated != first);
}

TEST_CASE("every parameter of a classifier gets a gradient") {
  Random random(1);
  EfficientNetSpec spec = efficientnet_spec("efficientnet_b-3");
  spec.drop_path = 0;  // a dropped block would get none
  const EfficientNet model(spec, 3, random);
  const Tensor logits = model.forward(randn({4, 64, 64, 3}, random));
  logits.backward(randn(logits.shape(), random));
  for (const NamedTensor& p : model.parameters()) {
    CAPTURE(p.name);
    REQUIRE(p.tensor.grad().defined());
    const auto gradient = p.tensor.grad().values();
    CHECK(std::any_of(gradient.begin(), gradient.end(), [](double g) { return g != 0; }));
  }
}

TEST_CASE("an unknown model, and images of a wrong shape, are explained") {
  for (const std::string& name : efficientnet_names())
    CHECK_THROWS_WITH(efficientnet_spec("efficientnet_b8"),
                      Contains("no model efficientnet_b8") && Contains(name));
  CHECK(efficientnet_names().size() == 24);
  Random random(1);
  const EfficientNet model(efficientnet_spec("efficientnet_b-3"), 2, random);
  CHECK_THROWS_WITH(model.forward(zeros({1, 3, 32, 32})), Contains("1x3x32x32") && Contains("(N, H, W, 3)"));
}
