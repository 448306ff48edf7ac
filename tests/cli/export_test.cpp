#include <catch2/catch.hpp>
#include <filesystem>

#include "core/file.h"
#include "models/efficientdet.h"
#include "models/weights.h"
#include "tests/support/program.h"
#include "tests/support/quantized_file.h"

using namespace fovea;
using Catch::Contains;
namespace fs = std::filesystem;

TEST_CASE("detectors and classifiers are exported, and wrong options are explained") {
  const TemporaryFolder folder;
  Random random(1);
  save_weights(folder / "det.safetensors", EfficientDet(efficientdet_spec("efficientdet_d-3"), 2, random));
  save_weights(folder / "cls.safetensors", EfficientNet(efficientnet_spec("efficientnet_b-3"), 2, random));
  write_file_atomically(folder / "names.txt", "cat\ndog\n");
  const auto run = [&](const std::string& weights, const std::string& model, std::vector<std::string> more) {
    std::vector<std::string> arguments{"export",        folder / weights,     "--model",  model,
                                       "--class-names", folder / "names.txt", "--output", folder / "m.onnx"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    fs::remove(folder / "m.onnx");
    return run_program(arguments);
  };
  const auto raw = run("det.safetensors", "efficientdet_d-3", {});
  CAPTURE(raw.errors);
  CHECK(raw.exit_code == 0);
  CHECK_THAT(raw.output, Contains("images (batch, 3, 128, 128) -> class_logits, box_codes, anchors"));
  CHECK_THAT(read_file(folder / "m.onnx"), Contains("[\"cat\",\"dog\"]"));

  const auto found = run("det.safetensors", "efficientdet_d-3", {"--detections", "--max-detections", "9"});
  CHECK(found.exit_code == 0);
  CHECK_THAT(found.output, Contains("-> boxes, scores, labels"));
  CHECK_THAT(read_file(folder / "m.onnx"), Contains("NonMaxSuppression"));

  CHECK_THAT(run("cls.safetensors", "efficientnet_b-3", {}).output, Contains("-> logits"));

  const auto weights =
      run_program({"export", folder / "det.safetensors", "--model", "efficientdet_d-3", "--class-names",
                   folder / "names.txt", "--output", folder / "w.safetensors"});
  CAPTURE(weights.errors);
  CHECK(weights.exit_code == 0);
  CHECK(read_file(folder / "w.safetensors") == read_file(folder / "det.safetensors"));

  const auto refuse = [&](const ProgramResult& result, const std::string& message) {
    CHECK(result.exit_code == 1);
    CHECK_THAT(result.errors, Contains(message));
    CHECK_FALSE(fs::exists(folder / "m.onnx"));
  };
  refuse(run("cls.safetensors", "efficientnet_b-3", {"--detections"}), "--detections is for detectors");
  refuse(run("det.safetensors", "efficientdet_d-3", {"--top-k", "5"}), "--top-k requires --detections");
  refuse(run("det.safetensors", "efficientdet_d-3", {"--detections", "--iou-threshold", "2"}),
         "--iou-threshold");
  refuse(run("none.safetensors", "efficientdet_d-3", {}), "none.safetensors");
}

TEST_CASE("a quantised detector is exported with its bytes, but not as weights for PyTorch") {
  const TemporaryFolder folder;
  const QuantizedFile file;
  file.write();
  const auto run = [&](const std::string& output) {
    return run_program({"export", file.path, "--output", folder / output});
  };
  const auto onnx = run("m.onnx");
  CAPTURE(onnx.errors);
  CHECK(onnx.exit_code == 0);
  CHECK_THAT(onnx.output, Contains("images (batch, 3, 64, 64) -> class_logits, box_codes, anchors"));
  CHECK_THAT(read_file(folder / "m.onnx"), Contains("DequantizeLinear") && Contains("[\"cell\",\"plate\"]"));
  const auto weights = run("m.safetensors");
  CHECK(weights.exit_code == 1);
  CHECK_THAT(weights.errors, Contains("is quantised, and PyTorch cannot load its bytes as weights"));
  CHECK_FALSE(fs::exists(folder / "m.safetensors"));
}
