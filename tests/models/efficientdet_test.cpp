#include "models/efficientdet.h"

#include <catch2/catch.hpp>
#include <map>

#include "nn/trace.h"
#include "ops/shape_ops.h"

using namespace fovea;

TEST_CASE("the plan of a cell is the published one") {
  const auto plan = bifpn_plan(3, 7);
  const std::vector<std::pair<int, std::vector<int>>> expected = {
      {6, {3, 4}},    {5, {2, 5}},    {4, {1, 6}},     {3, {0, 7}},
      {4, {1, 7, 8}}, {5, {2, 6, 9}}, {6, {3, 5, 10}}, {7, {4, 11}}};
  REQUIRE(plan.size() == expected.size());
  for (size_t i = 0; i < plan.size(); ++i) {
    CHECK(plan[i].level == expected[i].first);
    CHECK(plan[i].inputs == expected[i].second);
  }
}

TEST_CASE("channels are rounded as published") {
  CHECK(round_channels(32, 1.1) == 32);
  CHECK(round_channels(32, 1.2) == 40);
  CHECK(round_channels(16, 1.1) == 16);
  CHECK(round_channels(1280, 1.4) == 1792);
}

TEST_CASE("B0 has the published number of parameters") {
  Random random(1);
  CHECK(EfficientNet(efficientnet_spec("efficientnet_b0"), 1000, random).parameter_count() ==
        5288548);  // timm
}

TEST_CASE("D0 has the published parameters and multiply-adds") {
  Random random(1);
  EfficientDet model(efficientdet_spec("efficientdet_d0"), 90, random);
  CHECK(double(model.parameter_count()) == Approx(3.88e6).epsilon(0.002));
  model.set_training(false);
  NoGrad no_grad;
  Trace trace;
  model.outputs(zeros({1, 512, 512, 3}));
  int64_t multiply_adds = 0;
  for (const TracedLayer& layer : trace.layers) multiply_adds += layer.multiply_adds;
  CHECK(double(multiply_adds) == Approx(2.54e9).epsilon(0.02));
}

TEST_CASE("outputs correspond to the anchors for any image size") {
  Random random(1);
  EfficientDet model(efficientdet_spec("efficientdet_d-3"), 3, random);
  for (auto [h, w] : {std::pair<int64_t, int64_t>{128, 128}, {100, 131}, {33, 257}}) {
    const DetectorOutput out = model.outputs(randn({2, h, w, 3}, random));
    const int64_t anchors = count_anchors(int(h), int(w), model.spec().anchors);
    CHECK(out.class_logits.shape() == Shape{2, anchors, 3});
    CHECK(out.box_codes.shape() == Shape{2, anchors, 4});
    CHECK(int64_t(generate_anchors(int(h), int(w), model.spec().anchors).size()) == anchors);
  }
}

TEST_CASE(
    "the detector below Lite0 has the same backbone, so that published weights fit, and less around it") {
  const EfficientDetSpec below = efficientdet_spec("tf_efficientdet_lite-1"),
                         lite0 = efficientdet_spec("tf_efficientdet_lite0");
  Random random(1);
  const EfficientDet model(below, 3, random);
  const auto shapes_of = [](const Module& module) {
    std::map<std::string, std::string> shapes;
    for (const NamedTensor& t : state_dict(module))
      if (t.name.starts_with("backbone.")) shapes[t.name] = t.tensor.shape().to_string();
    return shapes;
  };
  CHECK(shapes_of(model) == shapes_of(EfficientDet(lite0, 3, random)));
  CHECK(shapes_of(model).size() > 200);
  CHECK(below.fpn.channels == 48);
  CHECK(below.fpn.cells == 2);
  CHECK(below.head_repeats == 2);
  CHECK(below.image_size == 256);
}

TEST_CASE("every parameter of a detector gets a gradient") {
  Random random(1);
  EfficientDet model(efficientdet_spec("efficientdet_d-3"), 2, random);
  const DetectorOutput out = model.outputs(randn({2, 128, 128, 3}, random));
  out.class_logits.backward(ones(out.class_logits.shape()));
  model.outputs(randn({2, 128, 128, 3}, random)).box_codes.backward(ones(out.box_codes.shape()));
  for (const NamedTensor& p : model.parameters()) {
    CAPTURE(p.name);
    CHECK(p.tensor.grad().defined());
  }
}

TEST_CASE("a head gives the same for the levels side by side as for one after the other") {
  const EfficientDetSpec spec = efficientdet_spec("efficientdet_d-3");
  Tensors outputs;
  std::vector<std::vector<NamedTensor>> states;
  std::vector<std::unique_ptr<DetectionHead>> heads;
  for (const bool side_by_side : {false, true}) {
    Random random(1);
    heads.push_back(std::make_unique<DetectionHead>(spec, 7, -2, random));
    Tensors levels, parts;
    PyramidShape shape;
    for (const auto& [h, w] : {std::pair<int64_t, int64_t>{9, 13}, {5, 7}, {3, 4}, {2, 2}, {1, 1}}) {
      levels.push_back(randn({3, h, w, spec.fpn.channels}, random));
      parts.push_back(reshape(levels.back(), {3, h * w, spec.fpn.channels}));
      shape.levels.push_back({h, w});
    }
    const DetectionHead& head = *heads.back();
    outputs.push_back(side_by_side ? head.forward(concat(parts, 1), shape) : head.forward(levels));
    outputs.back().backward(randn(outputs.back().shape(), random));
    states.push_back(state_dict(head));
  }
  const auto check_equal = [](const Tensor& a, const Tensor& b, double margin) {
    const auto x = a.values(), y = b.values();
    REQUIRE(x.size() == y.size());
    double largest = 0;
    for (double v : x) largest = std::max(largest, std::abs(v));
    for (size_t i = 0; i < x.size(); ++i) REQUIRE(x[i] == Approx(y[i]).margin(margin * largest));
  };
  check_equal(outputs[0], outputs[1], 1e-5);
  for (size_t i = 0; i < states[0].size(); ++i) {
    CAPTURE(states[0][i].name);
    check_equal(states[0][i].tensor, states[1][i].tensor, 1e-6);  // running averages among them
    if (states[0][i].tensor.requires_grad())
      check_equal(states[0][i].tensor.grad(), states[1][i].tensor.grad(), 1e-4);
  }
}

TEST_CASE("a head gives the same for inference, where wide outputs of all levels are one product") {
  const EfficientDetSpec spec = efficientdet_spec("efficientdet_d-3");
  const int64_t outputs_per_anchor = GENERATE(2, 7);  // narrower and wider than the features
  CHECK((spec.anchors.per_cell() * outputs_per_anchor > spec.fpn.channels) == (outputs_per_anchor == 7));
  Random random(1);
  DetectionHead head(spec, outputs_per_anchor, -2, random);
  head.set_training(false);
  Tensors levels;
  for (const auto& [h, w] : {std::pair<int64_t, int64_t>{9, 13}, {5, 7}, {3, 4}, {2, 2}, {1, 1}})
    levels.push_back(randn({3, h, w, spec.fpn.channels}, random));
  const Tensor expected = head.forward(levels);
  const NoGrad no_grad;
  const Tensor found = head.forward(levels);
  REQUIRE(found.shape() == expected.shape());
  const auto x = found.values(), y = expected.values();
  for (size_t i = 0; i < x.size(); ++i) REQUIRE(x[i] == Approx(y[i]).margin(1e-5));
}

TEST_CASE("on CUDA a head with one frozen level leaves that level's running averages, as on the CPU") {
  Random random(1);
  EfficientDet model(efficientdet_spec("efficientdet_d-3"), 2, random);
  model.for_each([](Module& module) {
    if (module.path() == "class_net.bn_rep.0.1.bn") module.freeze();
  });
  model.to(Device::cuda);
  model.outputs(rand({2, 32, 32, 3}, random).to(Device::cuda));
  int64_t frozen = 0, moved = 0;
  for (const NamedTensor& b : model.buffers()) {
    if (!b.name.starts_with("class_net.bn_rep.0.") || !b.name.ends_with("running_mean")) continue;
    const auto mean = b.tensor.values();
    const bool still = std::all_of(mean.begin(), mean.end(), [](double v) { return v == 0; });
    ++(still ? frozen : moved);
  }
  CHECK(frozen == 1);
  CHECK(moved == 4);
}

TEST_CASE("the message about an unknown model lists the known ones") {
  CHECK_THROWS_WITH(efficientdet_spec("efficientdet_d9"),
                    Catch::Contains("efficientdet_d7x") && Catch::Contains("efficientdet_d-2"));
  CHECK_THROWS_WITH(efficientnet_spec("b0"), Catch::Contains("efficientnet_b0"));
}
