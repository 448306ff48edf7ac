#include <fmt/format.h>
#include <fovea/fovea.h>
#include <fovea/models/onnx/export.h>
#include <fovea/train/detection/matching.h>

// Runs a detector, exports it and matches its anchors: something of every layer below the command line.
int main() {
  using namespace fovea;
  Random random(1);
  EfficientDet model(efficientdet_spec("efficientdet_d-3"), 3, random);
  model.set_training(false);
  NoGrad no_grad;
  const DetectorOutput output = model.outputs(zeros({1, 128, 128, 3}));

  export_onnx("detector.onnx", model, {.height = 128, .width = 128});

  const AnchorMatcher matcher(generate_anchors(128, 128, model.spec().anchors), {});
  std::vector<int32_t> classes(size_t(output.class_logits.size(1)));
  std::vector<float> boxes(classes.size() * 4);
  const std::vector<Box> truths = {{10, 10, 60, 60}};
  const std::vector<int32_t> labels = {0};
  const MatchCounts counts = matcher.match({truths, labels}, classes, boxes);
  fmt::print("{} anchors, {} of them positive\n", classes.size(), counts.positives);
  return counts.positives > 0 ? 0 : 1;
}
