// Nothing in nn/ and models/ drops the tape; tests/ops/tape_test.cpp checks the same for core/ and ops/.
#include "tests/support/tape.h"

#include "models/efficientdet.h"
#include "models/quantization/quantized_network.h"
#include "models/resnet.h"
#include "models/weights.h"
#include "nn/sequential.h"

using namespace fovea;

namespace {

// Makes a module from its constructor's arguments, and returns its forward() as a function that owns it.
template <class M, class... Arguments>
std::function<Tensors(const Tensors&)> forward_of(Arguments&&... arguments) {
  const auto module = std::make_shared<M>(std::forward<Arguments>(arguments)...);
  return [module](const Tensors& in) { return Tensors{module->forward(in[0])}; };
}

// The same for forward(x, statistics).
template <class M, class... Arguments>
std::function<Tensors(const Tensors&)> forward_with_statistics(Arguments&&... arguments) {
  const auto module = std::make_shared<M>(std::forward<Arguments>(arguments)...);
  return [module](const Tensors& in) { return Tensors{module->forward(in[0], nullptr)}; };
}

std::vector<TapeRow> rows() {
  Random random(1);
  const auto x = [&](Shape shape) { return rand(shape, random, 0.2, 1); };
  const Tensor pixels = x({1, 4, 4, 3});
  const auto classifier = std::make_shared<EfficientNet>(efficientnet_spec("efficientnet_b-3"), 5, random);
  const auto detector = std::make_shared<EfficientDet>(efficientdet_spec("efficientdet_d-3"), 2, random);
  const Tensor image = x({1, 64, 64, 3});

  const EfficientDetSpec& spec = detector->spec();
  Tensors features;
  for (int level = spec.fpn.min_level; level <= spec.fpn.max_level; ++level)
    features.push_back(x({1, 128 >> level, 128 >> level, spec.fpn.channels}));
  const auto fpn = std::make_shared<BiFpn>(spec.fpn, std::vector<int64_t>(3, spec.fpn.channels), random);
  const auto head = std::make_shared<DetectionHead>(spec, 4, 0.0, random);
  head->set_training(false);  // statistics of the coarsest level's one pixel would leave it no gradient
  const PyramidShape levels{{{4, 3}, {2, 2}, {2, 1}, {1, 1}, {1, 1}}};
  const Tensor few = x({1, levels.pixels(), 3}), side_by_side = x({1, levels.pixels(), spec.fpn.channels});
  const auto depthwise = std::make_shared<DepthwiseConv2d>(3, Window{}, random);
  const auto separable =
      std::make_shared<SeparableConv>(3, 2, true, Padding::same, Init::fan_in_normal, random);
  const auto block = std::make_shared<MBConv>(
      MBConv::Options{.in = 3, .out = 3, .expansion = 2, .window = {}, .drop_path = 0, .norm = {}}, random);
  const auto conv = std::make_shared<PointwiseConv>(3, 2, false, random);
  const auto dense = std::make_shared<Conv2d>(3, 2, Window{}, random);
  const auto norm = std::make_shared<BatchNorm>(2, Activation::swish);
  const auto network = std::make_shared<Sequential>();
  network->add<Linear>(3, 2);
  const auto drop = std::make_shared<Dropout>(*network, "drop", 0.5);
  const auto layer_norm = std::make_shared<LayerNorm>(*network, "norm", 3);
  ResNetSpec small = resnet_spec("resnet18");
  small.channels = {4, 4, 8, 8};
  const auto resnet = std::make_shared<ResNet>(small, 5);
  const auto basic_block = std::make_shared<BasicBlock>(*network, "block", 3, 4, 2, NormOptions{});
  const auto pool = std::make_shared<MaxPool2d>(*network, "pool");
  const auto in_bytes = [&] {
    const auto net = std::make_shared<EfficientDet>(efficientdet_spec("efficientdet_d-3"), 2, random);
    net->set_training(false);
    const auto forward = [net](const Tensor& in) { return Tensors{net->outputs(in).class_logits}; };
    const auto quantized = std::make_shared<QuantizedNetwork>(forward, 64, 64);
    quantized->calibrate(image);
    quantized->quantize();
    return quantized;
  }();
  return {
      {"QuantizedNetwork::outputs", [=](auto& in) { return in_bytes->outputs(in[0]); }, {image}, {0}},
      {"Module::operator", [=](auto& in) { return Tensors{(*network)(in[0])}; }, {pixels}},
      {"Sequential::forward", [=](auto& in) { return Tensors{network->forward(in[0])}; }, {pixels}},
      {"ResNet::forward", [=](auto& in) { return Tensors{resnet->forward(in[0])}; }, {image}},
      {"ResNet::features", [=](auto& in) { return resnet->features(in[0]); }, {image}},
      {"Backbone::features",
       [=](auto& in) { return std::static_pointer_cast<Backbone>(resnet)->features(in[0]); },
       {image}},
      {"BasicBlock::forward",
       [basic_block, network](auto& in) { return Tensors{basic_block->forward(in[0])}; },
       {pixels}},
      {"LayerNorm::forward",
       [layer_norm, network](auto& in) { return Tensors{layer_norm->forward(in[0])}; },
       {pixels}},
      {"MaxPool2d::forward", [pool, network](auto& in) { return Tensors{pool->forward(in[0])}; }, {pixels}},
      {"Dropout::forward",
       [drop, network](auto& in) { return Tensors{drop->forward(in[0])}; },  // part of that network
       {pixels}},
      {"PointwiseConv::forward", forward_with_statistics<PointwiseConv>(3, 2, true, random), {pixels}},
      {"DepthwiseConv2d::forward", forward_with_statistics<DepthwiseConv2d>(3, Window{}, random), {pixels}},
      {"Conv2d::forward", forward_with_statistics<Conv2d>(3, 2, Window{}, random), {pixels}},
      {"BatchNorm::forward", forward_with_statistics<BatchNorm>(3, Activation::swish), {pixels}},
      {"SeparableConv::forward",
       forward_with_statistics<SeparableConv>(3, 2, true, Padding::same, Init::fan_in_normal, random),
       {pixels}},
      {"Linear::forward", forward_of<Linear>(3, 2, random), {x({5, 3})}},
      {"DepthwiseConv2d::forward",
       [=](auto& in) { return Tensors{depthwise->forward(in[0], levels)}; },
       {few}},
      {"SeparableConv::forward", [=](auto& in) { return Tensors{separable->forward(in[0], levels)}; }, {few}},
      {"PointwiseConv::forward", forward_of<PointwiseConv>(3, 2, true, random), {pixels}},
      {"DepthwiseConv2d::forward", forward_of<DepthwiseConv2d>(3, Window{}, random), {pixels}},
      {"Conv2d::forward", forward_of<Conv2d>(3, 2, Window{}, random), {pixels}},
      {"BatchNorm::forward", forward_of<BatchNorm>(3, Activation::swish), {pixels}},
      {"conv_norm", [=](auto& in) { return Tensors{conv_norm(*conv, *norm, in[0])}; }, {pixels}},
      {"conv_norm", [=](auto& in) { return Tensors{conv_norm(*dense, *norm, in[0])}; }, {pixels}},
      {"conv_norm", [=](auto& in) { return Tensors{conv_norm(*separable, *norm, in[0])}; }, {pixels}},
      {"MBConv::forward", [=](auto& in) { return Tensors{block->forward(in[0])}; }, {pixels}},
      {"EfficientNet::forward", [=](auto& in) { return Tensors{classifier->forward(in[0])}; }, {image}},
      {"EfficientNet::features", [=](auto& in) { return classifier->features(in[0]); }, {image}},
      {"SeparableConv::forward",
       forward_of<SeparableConv>(3, 2, true, Padding::same, Init::fan_in_normal, random),
       {pixels}},
      {"ConvNorm::forward", forward_of<ConvNorm>(3, 2, true, NormOptions{}, random), {pixels}},
      {"BiFpn::forward",
       [=](auto& in) { return fpn->forward(in); },
       {features.begin(), features.begin() + 3}},
      {"DetectionHead::forward", [=](auto& in) { return Tensors{head->forward(in)}; }, features},
      {"DetectionHead::forward",
       [=](auto& in) { return Tensors{head->forward(in[0], levels)}; },
       {side_by_side}},
      {"EfficientDet::outputs",
       [=](auto& in) {
         const DetectorOutput output = detector->outputs(in[0]);
         return Tensors{output.class_logits, output.box_codes};
       },
       {image}},
      {"EfficientDet::pyramid", [=](auto& in) { return detector->pyramid(in[0]); }, {image}},
  };
}

}  // namespace

TEST_CASE("each function of nn and models is recorded") {
  for (const TapeRow& row : rows()) check_tape(row);
}

TEST_CASE("no function of nn and models that takes tensors and returns some is forgotten") {
  check_complete({"nn", "models"}, rows(), {"to_published", "Module::forward"});
  // off the tape, as its comment says; throws
}
