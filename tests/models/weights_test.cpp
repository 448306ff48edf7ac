#include "models/weights.h"

#include <algorithm>
#include <catch2/catch.hpp>

#include "core/file.h"
#include "models/efficientdet.h"
#include "nn/layers.h"
#include "tests/support/test_data.h"

using namespace fovea;
using Catch::Contains;

namespace {

constexpr const char* detector = "efficientdet_d-3";
constexpr const char* classifier = "efficientnet_b-3";  // its backbone

std::unique_ptr<EfficientDet> make_detector(int64_t classes, uint64_t seed) {
  Random random(seed);
  return std::make_unique<EfficientDet>(efficientdet_spec(detector), classes, random);
}

std::unique_ptr<EfficientNet> make_classifier(int64_t classes, uint64_t seed) {
  Random random(seed);
  return std::make_unique<EfficientNet>(efficientnet_spec(classifier), classes, random);
}

Tensor find(const std::vector<NamedTensor>& tensors, const std::string& name) {
  const auto found =
      std::find_if(tensors.begin(), tensors.end(), [&](const NamedTensor& t) { return t.name == name; });
  INFO(name);
  REQUIRE(found != tensors.end());
  return found->tensor;
}

Tensor weight(const Module& model, const std::string& name) { return find(state_dict(model), name); }

// A module with one parameter of each layout, counting from 0 in Fovea's order.
struct OneOfEach : Module {
  OneOfEach() {
    const auto add = [&](const char* name, Shape shape, WeightLayout layout) {
      Tensor numbers(shape);
      for (int64_t i = 0; i < numbers.numel(); ++i) numbers.data<float>()[i] = float(i);
      add_parameter(name, numbers, layout);
    };
    add("linear", {2, 3}, WeightLayout::linear);
    add("pointwise", {2, 3}, WeightLayout::pointwise);
    add("depthwise", {2, 2, 3}, WeightLayout::depthwise);
    add("dense", {2, 1, 2, 3}, WeightLayout::dense);
    add("bias", {3}, WeightLayout::same);
  }
};

}  // namespace

TEST_CASE("weights have PyTorch's layout") {
  const OneOfEach module;
  const auto published = published_weights(module);
  // ours[i][o] = 3 i + o
  CHECK(find(published, "linear").shape() == Shape{3, 2});
  CHECK(find(published, "linear").values() == std::vector<double>{0, 3, 1, 4, 2, 5});
  CHECK(find(published, "pointwise").shape() == Shape{3, 2, 1, 1});
  CHECK(find(published, "pointwise").values() == std::vector<double>{0, 3, 1, 4, 2, 5});
  // ours[y][x][c] = 6 y + 3 x + c
  CHECK(find(published, "depthwise").shape() == Shape{3, 1, 2, 2});
  CHECK(find(published, "depthwise").values() == std::vector<double>{0, 3, 6, 9, 1, 4, 7, 10, 2, 5, 8, 11});
  // ours[y][0][i][o] = 6 y + 3 i + o
  CHECK(find(published, "dense").shape() == Shape{3, 2, 2, 1});
  CHECK(find(published, "dense").values() == std::vector<double>{0, 6, 3, 9, 1, 7, 4, 10, 2, 8, 5, 11});
  CHECK(find(published, "bias").values() == std::vector<double>{0, 1, 2});

  const TemporaryFolder folder;
  save_weights(folder / "w", module, {{"model", "one of each"}});
  CHECK(SafetensorsFile(folder / "w").metadata().at("model") == "one of each");
  const OneOfEach other;
  for (const NamedTensor& p : other.parameters()) p.tensor.fill(-1);
  load_weights(folder / "w", other);
  for (const NamedTensor& p : other.parameters()) {
    CAPTURE(p.name);
    CHECK(p.tensor.values() == weight(module, p.name).values());
  }
}

TEST_CASE("a detector's weights are restored completely, from every dtype of a file") {
  const TemporaryFolder folder;
  const auto first = make_detector(3, 1), second = make_detector(3, 2);
  save_weights(folder / "w", *first);
  load_weights(folder / "w", *second);
  for (const NamedTensor& w : state_dict(*first)) {
    CAPTURE(w.name);
    CHECK(w.tensor.values() == weight(*second, w.name).values());
  }
}

TEST_CASE("float16, bfloat16 and float64 are read as float32") {
  const TemporaryFolder folder;
  const auto read = [&](const std::string& dtype, const std::string& bytes) {
    const std::string header =
        fmt::format("{{\"x\":{{\"dtype\":\"{}\",\"shape\":[{}],\"data_offsets\":[0,{}]}}}}", dtype,
                    bytes.size() / (dtype == "F64" ? 8 : 2), bytes.size());
    const uint64_t length = header.size();
    std::string start(8, '\0');
    std::memcpy(start.data(), &length, 8);
    write_file_atomically(folder / "t", start + header + bytes);
    const SafetensorsFile file(folder / "t");
    return file.read_float32(*file.find("x")).values();
  };
  const auto bytes_of = [](auto... words) {
    std::string bytes;
    ((bytes += std::string(reinterpret_cast<const char*>(&words), sizeof words)), ...);
    return bytes;
  };
  // 1, -2, 65504 (largest), 2^-24 (smallest), -0.333251953125
  CHECK(read("F16",
             bytes_of(uint16_t(0x3c00), uint16_t(0xc000), uint16_t(0x7bff), uint16_t(1), uint16_t(0xb555))) ==
        std::vector<double>{1, -2, 65504, std::ldexp(1.0, -24), -0.333251953125});
  CHECK(std::isinf(read("F16", bytes_of(uint16_t(0x7c00)))[0]));
  CHECK(std::isnan(read("F16", bytes_of(uint16_t(0x7e00)))[0]));
  CHECK(read("BF16", bytes_of(uint16_t(0x3fc0))) == std::vector<double>{1.5});
  CHECK(read("F64", bytes_of(-0.25)) == std::vector<double>{-0.25});
  CHECK_THROWS_WITH(read("I16", bytes_of(uint16_t(1))), Contains("tensor x has dtype I16: weights are"));
}

TEST_CASE("what does not fit is listed, and nothing is changed") {
  const TemporaryFolder folder;
  const auto model = make_detector(3, 1);
  auto tensors = published_weights(*model);
  tensors.erase(tensors.begin());  // the stem's weight
  tensors.push_back({"extra.weight", ones({1})});
  for (NamedTensor& t : tensors)
    if (t.name == "backbone.bn1.bias") t.tensor = zeros({5});
  tensors.push_back({"backbone.bn1.num_batches_tracked", from_values({}, {7}, DType::int32)});
  write_safetensors(folder / "w", {}, tensors);
  const auto before = weight(*model, "backbone.bn1.weight").values();
  const auto other = make_detector(3, 2);
  CHECK_THROWS_WITH(load_weights(folder / "w", *other),
                    Contains("another model") &&
                        Contains("1 tensors are missing in the file: "
                                 "backbone.conv_stem.weight") &&
                        Contains("backbone.bn1.bias (5, here 24)") &&
                        Contains("1 of the file have no place in the model: extra.weight") &&
                        !Contains("num_batches_tracked"));
  CHECK(weight(*other, "backbone.blocks.0.0.conv_dw.weight").values() ==
        weight(*make_detector(3, 2), "backbone.blocks.0.0.conv_dw.weight").values());
}

TEST_CASE("a training starts from weights with other classes and of the other kind") {
  const TemporaryFolder folder;
  const auto published = make_detector(9, 1);
  save_weights(folder / "detector", *published);
  const auto fresh = make_detector(3, 2), model = make_detector(3, 2);
  CHECK_THROWS_WITH(
      load_weights(folder / "detector", *model),
      Contains("class_net.predict.conv_pw.weight") &&
          Contains(
              "tensors fit: name these in `LoadOptions::optional` to leave them out; load_pretrained()"));

  const LoadedWeights taken = load_pretrained(folder / "detector", *model);
  CHECK(taken.fresh ==
        std::vector<std::string>{"class_net.predict.conv_pw.weight", "class_net.predict.conv_pw.bias"});
  CHECK(taken.unused.empty());
  CHECK(weight(*model, "class_net.predict.conv_pw.weight").values() ==
        weight(*fresh, "class_net.predict.conv_pw.weight").values());
  for (const char* name : {"backbone.conv_stem.weight", "fpn.cell.0.fnode.0.combine.edge_weights",
                           "class_net.predict.conv_dw.weight", "box_net.predict.conv_pw.weight"}) {
    CAPTURE(name);
    CHECK(weight(*model, name).values() == weight(*published, name).values());
  }

  SECTION("a classifier's backbone") {
    const auto names = make_classifier(10, 3);
    save_weights(folder / "classifier", *names);
    const auto detects = make_detector(3, 4);
    const LoadedWeights from = load_pretrained(folder / "classifier", *detects);
    CHECK(weight(*detects, "backbone.blocks.1.0.conv_pw.weight").values() ==
          weight(*names, "blocks.1.0.conv_pw.weight").values());
    CHECK(std::count(from.unused.begin(), from.unused.end(), "conv_head.weight") == 1);
    CHECK(std::count(from.fresh.begin(), from.fresh.end(), "box_net.predict.conv_pw.bias") == 1);
    CHECK(from.tensors == state_dict(*names).size() - from.unused.size());
  }
  SECTION("a classifier from a detector") {
    const auto names = make_classifier(10, 3);
    load_pretrained(folder / "detector", *names);
    CHECK(weight(*names, "blocks.1.0.conv_pw.weight").values() ==
          weight(*published, "backbone.blocks.1.0.conv_pw.weight").values());
  }
  SECTION("but not from another size") {
    Random random(5);
    const EfficientNet larger(efficientnet_spec("efficientnet_b0"), 10, random);
    save_weights(folder / "b0", larger);
    CHECK_THROWS_WITH(load_pretrained(folder / "b0", *model),
                      Contains("have another shape in the file") && !Contains("tensors fit"));
  }
}

TEST_CASE("the number of classes is read from the weights") {
  const TemporaryFolder folder;
  save_weights(folder / "d", *make_detector(7, 1));
  save_weights(folder / "c", *make_classifier(11, 1));
  CHECK(classes_in_weights(SafetensorsFile(folder / "d"), 9) == 7);
  CHECK(classes_in_weights(SafetensorsFile(folder / "c"), 9) == 11);
}

TEST_CASE("a backbone is stem and blocks") {
  for (const char* name :
       {"backbone.conv_stem", "backbone.bn1", "bn1.weight", "blocks.0.0.bn2", "backbone.blocks.3.1"})
    CHECK(is_backbone(name));
  for (const char* name :
       {"", "backbone", "bn2", "bn1x", "conv_head.weight", "fpn.cell.0", "class_net.bn_rep.0.0.bn"})
    CHECK_FALSE(is_backbone(name));
}

TEST_CASE("prefixes that a PyTorch wrapper added to names are removed") {
  const TemporaryFolder folder;
  const auto model = make_detector(3, 1);
  for (const std::string prefix : {"module.", "model.", "_orig_mod.", "module.model."}) {
    CAPTURE(prefix);
    auto tensors = published_weights(*model);
    for (NamedTensor& t : tensors) t.name = prefix + t.name;
    write_safetensors(folder / "w", {}, tensors);
    CHECK(classes_in_weights(SafetensorsFile(folder / "w"), 9) == 3);
    const auto plain = make_detector(3, 2), tolerant = make_detector(3, 2);
    load_weights(folder / "w", *plain);
    CHECK(load_pretrained(folder / "w", *tolerant).fresh.empty());
    for (const auto* to : {plain.get(), tolerant.get()})
      CHECK(weight(*to, "class_net.predict.conv_pw.weight").values() ==
            weight(*model, "class_net.predict.conv_pw.weight").values());
  }
  struct Wrapped : Module {  // whose own names have such a prefix
    Linear model{*this, "model", 2, 3};
  } wrapped;
  save_weights(folder / "own", wrapped);
  CHECK(load_weights(folder / "own", wrapped).tensors == 2);
}

TEST_CASE("the columns of a class head follow the names of the classes") {
  const TemporaryFolder folder;
  const auto model = make_detector(3, 1), reordered = make_detector(3, 2), fresh = make_detector(3, 2);
  save_weights(folder / "w", *model, {{"class_names", R"(["red","green","blue"])"}});
  load_pretrained(folder / "w", *reordered, {"blue", "red", "green"});
  const std::string head = "class_net.predict.conv_pw.";
  for (const char* part : {"weight", "bias"}) {
    const auto from = weight(*model, head + part).values(), to = weight(*reordered, head + part).values();
    REQUIRE(from.size() % 27 == 0);  // nine anchors of three classes
    for (size_t i = 0; i < from.size(); i += 3)
      CHECK((to[i] == from[i + 2] && to[i + 1] == from[i] && to[i + 2] == from[i + 1]));
  }
  CHECK(weight(*reordered, "class_net.predict.conv_dw.weight").values() ==
        weight(*model, "class_net.predict.conv_dw.weight").values());

  const auto others = make_detector(3, 2);
  const LoadedWeights taken = load_pretrained(folder / "w", *others, {"red", "green", "yellow"});
  CHECK(taken.fresh == std::vector<std::string>{head + "weight", head + "bias"});
  CHECK(weight(*others, head + "weight").values() == weight(*fresh, head + "weight").values());

  const auto names = make_classifier(2, 1), swapped = make_classifier(2, 2);
  save_weights(folder / "c", *names, {{"class_names", R"(["a","b"])"}});
  load_pretrained(folder / "c", *swapped, {"b", "a"});
  const auto from = weight(*names, "classifier.weight").values(),
             to = weight(*swapped, "classifier.weight").values();
  for (size_t i = 0; i < from.size(); i += 2) CHECK((to[i] == from[i + 1] && to[i + 1] == from[i]));
  save_weights(folder / "odd", *names, {{"class_names", "cats and dogs"}});  // another program's
  CHECK(load_pretrained(folder / "odd", *swapped, {"b", "a"}).fresh.empty());
}
