#include "models/onnx/export.h"

#include <onnx/checker.h>
#include <onnx/onnx_pb.h>
#include <onnx/shape_inference/implementation.h>

#include <catch2/catch.hpp>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>

#include "core/file.h"
#include "models/quantization/quantized_network.h"
#include "nn/layers.h"
#include "ops/activation.h"
#include "ops/arithmetic.h"
#include "ops/conv2d.h"
#include "ops/dropout.h"
#include "ops/matmul.h"
#include "ops/pool2d.h"
#include "ops/resample.h"
#include "ops/shape_ops.h"
#include "tests/support/test_data.h"

using namespace fovea;
using Catch::Contains;

namespace {

// The content of a file that ONNX's checker and its strict shape inference have accepted.
class OnnxFile {
 public:
  explicit OnnxFile(const std::string& path) {
    REQUIRE(model_.ParseFromString(read_file(path)));
    CHECK_NOTHROW(onnx::checker::check_model(model_));
    onnx::ModelProto inferred = model_;
    CHECK_NOTHROW(
        onnx::shape_inference::InferShapes(inferred, onnx::OpSchemaRegistry::Instance(), {true, 1, true}));
    check_order();
  }

  const onnx::GraphProto& graph() const { return model_.graph(); }

  std::vector<std::string> types() const {
    std::vector<std::string> result;
    for (const auto& node : graph().node()) result.push_back(node.op_type());
    return result;
  }

  const onnx::NodeProto& node(const std::string& type) const {
    for (const auto& node : graph().node())
      if (node.op_type() == type) return node;
    FAIL("there is no " << type);
    return graph().node(0);
  }

  std::vector<int64_t> integers(const onnx::NodeProto& node, const std::string& attribute) const {
    for (const auto& a : node.attribute())
      if (a.name() == attribute) return {a.ints().begin(), a.ints().end()};
    return {};
  }

  template <class T = float>
  std::vector<T> constant(const std::string& name) const {
    for (const auto& tensor : graph().initializer()) {
      if (tensor.name() != name) continue;
      std::vector<T> numbers(tensor.raw_data().size() / sizeof(T));
      std::memcpy(numbers.data(), tensor.raw_data().data(), tensor.raw_data().size());
      return numbers;
    }
    FAIL("there is no constant " << name);
    return {};
  }

  // "batch", or the number.
  static std::vector<std::string> sizes(const onnx::ValueInfoProto& value) {
    std::vector<std::string> result;
    for (const auto& dim : value.type().tensor_type().shape().dim())
      result.push_back(dim.dim_param().empty() ? std::to_string(dim.dim_value()) : dim.dim_param());
    return result;
  }

  std::string metadata(const std::string& key) const {
    for (const auto& property : model_.metadata_props())
      if (property.key() == key) return property.value();
    return "";
  }

 private:
  // Every input exists before it is read, and every name is unique.
  void check_order() const {
    std::set<std::string> known{""};
    for (const auto& input : graph().input()) CHECK(known.insert(input.name()).second);
    for (const auto& tensor : graph().initializer()) CHECK(known.insert(tensor.name()).second);
    for (const auto& node : graph().node()) {
      for (const auto& input : node.input()) CHECK(known.contains(input));
      for (const auto& output : node.output()) CHECK(known.insert(output).second);
    }
    for (const auto& output : graph().output()) CHECK(known.contains(output.name()));
  }

  onnx::ModelProto model_;
};

using Names = std::vector<std::string>;

// A network with one of each kind of op.
struct Small : Module {
  Small()
      : conv(3, 2, {3, 2, Padding::same}, random),
        norm(2, Activation::swish),
        pointwise(2, 2, true, random),
        linear(2, 3, random) {
    add_child("conv", conv);
    add_child("norm", norm);
    add_child("pointwise", pointwise);
    add_child("linear", linear);
    set_training(false);
  }
  Random random{1};
  Conv2d conv;
  BatchNorm norm;
  PointwiseConv pointwise;
  Linear linear;
};

}  // namespace

TEST_CASE("a batch norm is folded into the convolution before it, by hand") {
  const TemporaryFolder folder;
  Small model;
  const std::vector<NamedTensor> weights = state_dict(model);
  const auto tensor = [&](const std::string& name) {
    for (const NamedTensor& w : weights)
      if (w.name == name) return w.tensor;
    throw Error(name);
  };
  tensor("norm.weight").copy_from(from_values({2}, {2, 3}));
  tensor("norm.bias").copy_from(from_values({2}, {0.5, -0.5}));
  tensor("norm.running_mean").copy_from(from_values({2}, {1, -1}));
  tensor("norm.running_var").copy_from(from_values({2}, {4 - 1e-3, 0.25 - 1e-3}));
  export_onnx(folder / "m.onnx", model,
              [&](const Tensor& images) -> std::vector<NamedTensor> {
                return {{"y", model.norm.forward(model.conv.forward(images))}};
              },
              {6, 5});
  const OnnxFile file(folder / "m.onnx");
  CHECK(file.types() == Names{"Conv", "Sigmoid", "Mul", "Identity"});
  CHECK(OnnxFile::sizes(file.graph().input(0)) == Names{"batch", "3", "6", "5"});
  CHECK(OnnxFile::sizes(file.graph().output(0)) == Names{"batch", "2", "3", "3"});
  CHECK(file.integers(file.node("Conv"), "strides") == std::vector<int64_t>{2, 2});
  // 6 rows need one more, below; 5 columns one more on each side.
  CHECK(file.integers(file.node("Conv"), "pads") == std::vector<int64_t>{0, 1, 1, 1});
  const std::vector<float> folded = file.constant("conv.weight"), bias = file.constant("norm.bias");
  const double scale[] = {2 / 2.0, 3 / 0.5};
  const float* ours = tensor("conv.weight").data<float>();  // (k, k, in, out)
  REQUIRE(folded.size() == 2 * 3 * 9);
  for (int o = 0; o < 2; ++o)
    for (int c = 0; c < 3; ++c)
      for (int tap = 0; tap < 9; ++tap)
        CHECK(folded[size_t((o * 3 + c) * 9 + tap)] ==
              Approx(ours[(tap * 3 + c) * 2 + o] * scale[o]).epsilon(1e-6));
  CHECK(bias[0] == Approx(0.5 - 1 * scale[0]).epsilon(1e-6));
  CHECK(bias[1] == Approx(-0.5 + 1 * scale[1]).epsilon(1e-6));
}

TEST_CASE("a convolution with another reader keeps its numbers, and the norm is a factor and a term") {
  const TemporaryFolder folder;
  Small model;
  export_onnx(folder / "m.onnx", model,
              [&](const Tensor& images) -> std::vector<NamedTensor> {
                const Tensor x = model.conv.forward(images);
                return {{"x", x}, {"y", model.norm.forward(x)}};
              },
              {6, 5});
  const OnnxFile file(folder / "m.onnx");
  CHECK(file.types() == Names{"Conv", "Mul", "Add", "Sigmoid", "Mul", "Identity", "Identity"});
  CHECK(file.constant("norm.weight")[0] == Approx(1 / std::sqrt(1 + 1e-3)).epsilon(1e-7));
}

TEST_CASE("a number divided by a tensor stays a quotient") {
  const TemporaryFolder folder;
  Small model;
  export_onnx(folder / "m.onnx", model,
              [&](const Tensor& images) -> std::vector<NamedTensor> {
                return {{"y", 3 / (1 - model.conv.forward(images))}};
              },
              {4, 4});
  const OnnxFile file(folder / "m.onnx");
  CHECK(file.types() == Names{"Conv", "Mul", "Add", "Div", "Identity"});
  CHECK(file.constant(file.node("Div").input(0)) == std::vector<float>{3});
}

TEST_CASE("linear layers have their published layout, reshapes and slices their axes in the other layout") {
  const TemporaryFolder folder;
  Small model;
  export_onnx(folder / "m.onnx", model,
              [&](const Tensor& images) -> std::vector<NamedTensor> {
                const Tensor x = model.conv.forward(images);  // (1, 2, 2, 2)
                const Tensor flat = reshape(slice(x, 2, 0, 1), {1, 2, 2});
                const Tensor first = reshape(slice(flat, 1, 0, 1), {1, 2});
                return {{"y", model.linear.forward(first * 2.0 + 1.0)}, {"z", concat({x, relu(x)}, 3)}};
              },
              {4, 4});
  const OnnxFile file(folder / "m.onnx");
  CHECK(file.types() == Names{"Conv", "Slice", "Transpose", "Reshape", "Slice", "Reshape", "Mul", "Add",
                              "Gemm", "Relu", "Concat", "Identity", "Identity"});
  CHECK(file.constant<int64_t>(file.node("Slice").input(3)) == std::vector<int64_t>{3});  // width
  CHECK(file.constant<int64_t>(file.node("Reshape").input(1)) == std::vector<int64_t>{0, 2, 2});
  CHECK(OnnxFile::sizes(file.graph().output(1)) == Names{"batch", "4", "2", "2"});
  const std::vector<float> weight = file.constant("linear.weight");
  const Tensor ours = model.linear.parameters()[0].tensor;  // (in, out)
  for (size_t o = 0; o < 3; ++o)
    for (size_t i = 0; i < 2; ++i) CHECK(weight[o * 2 + i] == ours.data<float>()[i * 3 + o]);
}

TEST_CASE(
    "windows are exported with their padding, and levels are enlarged by whole factors or by listed rows") {
  const TemporaryFolder folder;
  const Small model;
  const auto types = [&](int64_t height, int64_t width, auto f) {
    export_onnx(folder / "m.onnx", model,
                [&](const Tensor& images) -> std::vector<NamedTensor> {
                  return {{"y", f(images)}};
                },
                {int(height), int(width)});
    return OnnxFile(folder / "m.onnx");
  };
  const OnnxFile same = types(6, 5, [](const Tensor& x) { return max_pool2d(x); });
  CHECK(same.integers(same.node("MaxPool"), "pads") == std::vector<int64_t>{0, 1, 1, 1});
  const OnnxFile symmetric = types(6, 5, [](const Tensor& x) { return max_pool2d(x, Padding::symmetric); });
  CHECK(symmetric.integers(symmetric.node("MaxPool"), "pads") == std::vector<int64_t>{1, 1, 0, 1});
  const Tensor filter = ones({3, 3, 3, 2});
  const OnnxFile valid = types(6, 5, [&](const Tensor& x) {
    return conv2d(x, filter, {3, 2, Padding::valid});
  });
  CHECK(valid.integers(valid.node("Conv"), "pads") == std::vector<int64_t>{0, 0, 0, 0});
  const OnnxFile two = types(6, 5, [&](const Tensor& x) {
    return conv2d(x, filter, {3, 1, Padding::pixels(2)});
  });
  CHECK(two.integers(two.node("Conv"), "pads") == std::vector<int64_t>{2, 2, 2, 2});
  const OnnxFile halves = types(6, 5, [](const Tensor& x) { return max_pool2d(x, {2, 2, Padding::valid}); });
  CHECK(halves.integers(halves.node("MaxPool"), "kernel_shape") == std::vector<int64_t>{2, 2});
  CHECK(halves.integers(halves.node("MaxPool"), "strides") == std::vector<int64_t>{2, 2});
  CHECK(halves.integers(halves.node("MaxPool"), "pads") == std::vector<int64_t>{0, 0, 0, 0});
  const OnnxFile around = types(6, 5, [](const Tensor& x) {
    return max_pool2d(x, {3, 1, Padding::pixels(1)});
  });
  CHECK(around.integers(around.node("MaxPool"), "pads") == std::vector<int64_t>{1, 1, 1, 1});
  const OnnxFile whole = types(2, 3, [](const Tensor& x) { return upsample_nearest(x, 4, 9); });
  CHECK(whole.constant(whole.node("Resize").input(2)) == std::vector<float>{1, 1, 2, 3});
  const OnnxFile rows = types(2, 3, [](const Tensor& x) { return upsample_nearest(x, 3, 5); });
  CHECK(rows.types() == Names{"Gather", "Gather", "Identity"});
  CHECK(rows.constant<int64_t>(rows.graph().node(0).input(1)) == std::vector<int64_t>{0, 0, 1});
  CHECK(rows.constant<int64_t>(rows.graph().node(1).input(1)) == std::vector<int64_t>{0, 0, 1, 1, 2});
}

TEST_CASE("a classifier's file has its logits, a name for each weight, and its metadata") {
  const TemporaryFolder folder;
  Random random(1);
  EfficientNet model(efficientnet_spec("efficientnet_b-3"), 2, random);
  model.set_training(false);
  export_onnx(folder / "m.onnx", model, {33, 33, {"cat", "\"dog\""}});
  const OnnxFile file(folder / "m.onnx");
  CHECK(OnnxFile::sizes(file.graph().output(0)) == Names{"batch", "2"});
  CHECK(file.graph().output(0).name() == "logits");
  std::map<std::string, int> count;
  for (const std::string& type : file.types()) ++count[type];
  CHECK(count["Reshape"] == 0);  // squeeze-excite keeps rank 4
  CHECK(count["BatchNormalization"] + count["Transpose"] == 0);
  CHECK(count["Gemm"] == 1);
  CHECK(count["Flatten"] == 1);
  std::set<std::string> ours;
  for (const NamedTensor& weight : state_dict(model)) ours.insert(weight.name);
  for (const auto& tensor : file.graph().initializer()) CHECK(ours.contains(tensor.name()));
  CHECK(file.metadata("model") == "efficientnet_b-3");
  CHECK(file.metadata("task") == "classification");
  CHECK(file.metadata("class_names") == R"(["cat","\"dog\""])");
  CHECK(file.metadata("image_size") == "33x33");
  CHECK(file.metadata("mean") == "[0.485, 0.456, 0.406]");
  CHECK_FALSE(file.metadata("fovea_version").empty());
}

TEST_CASE("the metadata contains the normalization of the network's images") {
  const TemporaryFolder folder;
  Random random(1);
  EfficientDet model(efficientdet_spec("tf_efficientdet_lite0"), 2, random);
  model.set_training(false);
  export_onnx(folder / "lite.onnx", model, {64, 64});
  const auto mean = nlohmann::json::parse(OnnxFile(folder / "lite.onnx").metadata("mean"));
  REQUIRE(mean.size() == 3);
  for (const double channel : mean) CHECK(channel == Approx(127 / 255.0).epsilon(1e-7));
}

TEST_CASE(
    "a detector's file has logits, codes and anchors, or detections, and every size except the batch is "
    "known") {
  const TemporaryFolder folder;
  Random random(1);
  EfficientDet model(efficientdet_spec("efficientdet_d-3"), 3, random);
  model.set_training(false);
  const OnnxOptions options{70, 40};
  export_onnx(folder / "raw.onnx", model, options);
  const OnnxFile raw(folder / "raw.onnx");
  const auto anchors = generate_anchors(70, 40, model.spec().anchors);
  const std::string count = std::to_string(anchors.size());
  REQUIRE(raw.graph().output_size() == 3);
  CHECK(OnnxFile::sizes(raw.graph().output(0)) == Names{"batch", count, "3"});
  CHECK(OnnxFile::sizes(raw.graph().output(1)) == Names{"batch", count, "4"});
  CHECK(OnnxFile::sizes(raw.graph().output(2)) == Names{count, "4"});
  CHECK(raw.constant("anchors.edges")[5] == anchors[1].xmin);
  // The levels share convolutions, and each has its norm: only norms have separate numbers.
  std::map<std::string, int> starts;
  for (const auto& tensor : raw.graph().initializer())
    for (const std::string name : {"class_net.conv_rep.0.conv_dw.weight",
                                   "class_net.conv_rep.0.conv_pw.weight", "class_net.predict.conv_pw.bias"})
      starts[name] += tensor.name().starts_with(name);
  CHECK(starts == std::map<std::string, int>{{"class_net.conv_rep.0.conv_dw.weight", 1},
                                             {"class_net.conv_rep.0.conv_pw.weight", 5},
                                             {"class_net.predict.conv_pw.bias", 1}});

  export_onnx(folder / "found.onnx", model, options, DetectOptions{.top_k = 50, .max_detections = 7});
  const OnnxFile found(folder / "found.onnx");
  REQUIRE(found.graph().output_size() == 3);
  CHECK(found.graph().output(0).name() == "boxes");
  CHECK(OnnxFile::sizes(found.graph().output(0)) == Names{"batch", "7", "4"});
  CHECK(OnnxFile::sizes(found.graph().output(1)) == Names{"batch", "7"});
  CHECK(found.graph().output(2).type().tensor_type().elem_type() == onnx::TensorProto::INT64);
  CHECK(found.constant<int64_t>(found.node("TopK").input(1)) == std::vector<int64_t>{50});
  const auto& suppression = found.node("NonMaxSuppression");
  CHECK(found.constant<int64_t>(suppression.input(2)) == std::vector<int64_t>{7});
  CHECK(found.constant(suppression.input(3)) == std::vector<float>{0.5f});
  CHECK(found.constant(suppression.input(4)) == std::vector<float>{0.001f});
}

TEST_CASE("each node of a BiFPN has the weights of its inputs as numbers") {
  const TemporaryFolder folder;
  Random random(1);
  for (const Fusion fusion : {Fusion::fast_normalized, Fusion::softmax, Fusion::sum}) {
    EfficientDetSpec spec = efficientdet_spec("efficientdet_d-3");
    spec.fpn.fusion = fusion;
    EfficientDet model(spec, 1, random);
    model.set_training(false);
    export_onnx(folder / "m.onnx", model, {64, 64});
    const OnnxFile file(folder / "m.onnx");
    if (fusion == Fusion::sum) continue;
    const std::string name = "fpn.cell.0.fnode.0.combine.edge_weights";
    const double expected = fusion == Fusion::softmax ? 0.5 : 1 / (2 + 1e-4);
    for (const std::string& each : {name, name + ".1"})
      CHECK(file.constant(each)[0] == Approx(expected).epsilon(1e-7));
  }
}

TEST_CASE("a quantised detector's file has its bytes around each convolution, for runtimes to compute with") {
  const TemporaryFolder folder;
  Random random(1);
  EfficientDet model(efficientdet_spec("efficientdet_d-3"), 2, random);
  model.set_training(false);
  QuantizedNetwork network(
      [&](const Tensor& images) -> Tensors {
        const DetectorOutput output = model.outputs(images);
        return {output.class_logits, output.box_codes};
      },
      64, 96);
  network.calibrate(randn({1, 64, 96, 3}, random));
  network.quantize();
  export_onnx(folder / "m.onnx", model, network.recorded(), {64, 96}, DetectOptions{});
  const OnnxFile file(folder / "m.onnx");
  std::map<std::string, int> count;
  for (const std::string& type : file.types()) ++count[type];
  CHECK(count["NonMaxSuppression"] == 1);
  CHECK(count["BatchNormalization"] == 0);
  std::map<std::string, const onnx::NodeProto*> makers;
  std::map<std::string, int> types;
  for (const auto& node : file.graph().node()) makers[node.output(0)] = &node;
  for (const auto& tensor : file.graph().initializer()) types[tensor.name()] = tensor.data_type();
  int convolutions = 0, floats = 0;
  for (const auto& node : file.graph().node()) {
    if (node.op_type() != "Conv") continue;
    if (types.contains(node.input(1))) {  // of squeeze and excite
      ++floats;
      continue;
    }
    ++convolutions;
    const auto &x = *makers.at(node.input(0)), &w = *makers.at(node.input(1)), &b = *makers.at(node.input(2));
    for (const auto* made : {&x, &w, &b}) CHECK(made->op_type() == "DequantizeLinear");
    CHECK(makers.at(x.input(0))->op_type() == "QuantizeLinear");
    CHECK(types.at(x.input(2)) == onnx::TensorProto::UINT8);
    CHECK(types.at(w.input(0)) == onnx::TensorProto::INT8);
    CHECK(types.at(b.input(0)) == onnx::TensorProto::INT32);
    const float in_scale = file.constant(x.input(1)).at(0);
    const std::vector<float> scales = file.constant(w.input(1)), sums = file.constant(b.input(1));
    REQUIRE(scales.size() == sums.size());
    for (size_t o = 0; o < scales.size(); ++o) CHECK(sums[o] == in_scale * scales[o]);
  }
  int ours = 0;
  for (const NamedTensor& tensor : network.tensors()) ours += tensor.name.ends_with(".bias");
  CHECK(convolutions == ours);
  CHECK(floats % 2 == 0);
  // The bytes are those of the network, in the other layout.
  for (const NamedTensor& tensor : network.tensors()) {
    if (tensor.name == "layers.0.conv2d.scale")
      CHECK(file.constant("layers.0.conv2d.weight.scale") ==
            std::vector<float>(tensor.tensor.span<float>().begin(), tensor.tensor.span<float>().end()));
    if (tensor.name != "layers.0.conv2d.weight") continue;
    const auto theirs = file.constant<int8_t>(tensor.name);
    const Shape& shape = tensor.tensor.shape();  // (k, k, in, out)
    const int64_t taps = shape[0] * shape[1], in = shape[2], out = shape[3];
    for (int64_t i = 0; i < tensor.tensor.numel(); ++i)
      CHECK(int(theirs[size_t((i % out * in + i / out % in) * taps + i / out / in)]) ==
            int(tensor.tensor.data<uint8_t>()[i]) - 128);
  }
}

TEST_CASE("what cannot be exported is refused, and no file is left") {
  const TemporaryFolder folder;
  const std::string path = folder / "m.onnx";
  Small model;
  const auto refuse = [&](const OnnxForward& forward, const std::string& message,
                          OnnxOptions options = {4, 4}) {
    CHECK_THROWS_WITH(export_onnx(path, model, forward, options), Contains(message));
    CHECK_FALSE(std::filesystem::exists(path));
  };
  const auto output = [](const Tensor& y) { return std::vector<NamedTensor>{{"y", y}}; };
  const auto convolved = [&](const Tensor& x) { return output(model.conv.forward(x)); };
  refuse([&](const Tensor& x) { return output(dropout(x, 0.5, 1)); }, "dropout has no translation to ONNX");
  refuse([&](const Tensor& x) { return output(reshape(x, {2, 24})); }, "mixes the images of a batch");
  refuse([&](const Tensor& x) { return output(relu(x.clone())); },
         "is a constant that no op recorded, or was copied");
  refuse([&](const Tensor& x) { return output(x + ones({3})); }, "only that of two computed tensors");
  refuse([&](const Tensor&) { return output(ones({1, 2})); }, "it is a constant");
  refuse(
      [&](const Tensor& x) {
        return std::vector<NamedTensor>{{"y", x}, {"y", x}};
      },
      "two values are named y");
  refuse(convolved, "give height and width", {0, 4});
  model.norm.set_training(true);
  refuse([&](const Tensor& x) { return output(model.norm.forward(model.conv.forward(x))); },
         "took its statistics from the batch");
  model.set_training(true);
  refuse(convolved, "in training mode");

  Random random(1);
  EfficientDet detector(efficientdet_spec("efficientdet_d-3"), 1, random);
  detector.set_training(false);
  CHECK_THROWS_WITH(export_onnx(path, detector, {64, 64, {"a", "b"}}),
                    Contains("2 class names for 1 classes"));
  CHECK_THROWS_WITH(export_onnx(path, detector, {64, 64}, DetectOptions{.soft_nms = true}),
                    Contains("no soft NMS"));
  CHECK_THROWS_WITH(export_onnx(path, detector, {64, 64}, DetectOptions{.top_k = 0}), Contains("top_k is 0"));
  CHECK_FALSE(std::filesystem::exists(path));
}
