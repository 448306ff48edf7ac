// Nothing in nn/ and models/ drops the tape, as nothing in core/ and ops/ does (tests/ops/tape_test.cpp).
#include "tests/support/tape.h"

#include "models/efficientdet.h"
#include "models/weights.h"

using namespace fovea;

namespace {

// A module made by its constructor's arguments, and its forward() as a function that owns it.
template <class M, class... Arguments>
std::function<Tensors(const Tensors&)> forward_of(Arguments&&... arguments) {
  const auto module = std::make_shared<M>(std::forward<Arguments>(arguments)...);
  return [module](const Tensors& in) { return Tensors{module->forward(in[0])}; };
}

std::vector<TapeRow> rows() {
  Random random(1);
  const auto x = [&](Shape shape) { return rand(shape, random, 0.2, 1); };
  const Tensor pixels = x({1, 4, 4, 3});
  const auto classifier = std::make_shared<EfficientNet>(efficientnet_spec("efficientnet_b-3"), 5, random);
  const auto detector = std::make_shared<EfficientDet>(efficientdet_spec("efficientdet_d-3"), 2, random);
  const Tensor image = x({1, 64, 64, 3});
  const auto rng = std::make_shared<Random>(2);

  const EfficientDetSpec& spec = detector->spec();
  Tensors features;
  for (int level = spec.fpn.min_level; level <= spec.fpn.max_level; ++level)
    features.push_back(x({1, 128 >> level, 128 >> level, spec.fpn.channels}));
  const auto fpn = std::make_shared<BiFpn>(spec.fpn, std::vector<int64_t>(3, spec.fpn.channels), random);
  const auto head = std::make_shared<DetectionHead>(spec, 4, 0.0, random);
  head->set_training(false);  // statistics of the coarsest level's one pixel would leave it no gradient
  const auto block = std::make_shared<MBConv>(
      MBConv::Options{.in = 3, .out = 3, .expansion = 2, .window = {}, .drop_path = 0, .norm = {}}, random);
  const auto conv = std::make_shared<PointwiseConv>(3, 2, false, random);
  const auto norm = std::make_shared<BatchNorm>(2, Activation::swish);
  return {
      {"Linear::forward", forward_of<Linear>(3, 2, random), {x({5, 3})}},
      {"PointwiseConv::forward", forward_of<PointwiseConv>(3, 2, true, random), {pixels}},
      {"DepthwiseConv::forward", forward_of<DepthwiseConv>(3, Window{}, random), {pixels}},
      {"Conv::forward", forward_of<Conv>(3, 2, Window{}, random), {pixels}},
      {"BatchNorm::forward", forward_of<BatchNorm>(3, Activation::swish), {pixels}},
      {"conv_norm", [=](auto& in) { return Tensors{conv_norm(*conv, *norm, in[0])}; }, {pixels}},
      {"MBConv::forward", [=](auto& in) { return Tensors{block->forward(in[0], *rng)}; }, {pixels}},
      {"EfficientNet::forward", [=](auto& in) { return Tensors{classifier->forward(in[0], *rng)}; }, {image}},
      {"EfficientNet::features", [=](auto& in) { return classifier->features(in[0], *rng); }, {image}},
      {"SeparableConv::forward",
       forward_of<SeparableConv>(3, 2, true, Padding::same, Init::fan_in_normal, random),
       {pixels}},
      {"ConvNorm::forward", forward_of<ConvNorm>(3, 2, true, NormOptions{}, random), {pixels}},
      {"BiFpn::forward",
       [=](auto& in) { return fpn->forward(in); },
       {features.begin(), features.begin() + 3}},
      {"DetectionHead::forward", [=](auto& in) { return Tensors{head->forward(in)}; }, features},
      {"EfficientDet::forward",
       [=](auto& in) {
         const DetectorOutput output = detector->forward(in[0], *rng);
         return Tensors{output.class_logits, output.box_codes};
       },
       {image}},
      {"EfficientDet::pyramid", [=](auto& in) { return detector->pyramid(in[0], *rng); }, {image}},
  };
}

}  // namespace

TEST_CASE("each function of nn and models is recorded") {
  for (const TapeRow& row : rows()) check_tape(row);
}

TEST_CASE("no function of nn and models that takes tensors and returns some is forgotten") {
  check_complete({"nn", "models"}, rows(), {"to_published"});  // off the tape, as its comment says
}
