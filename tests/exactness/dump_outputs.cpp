// Runs a trained network on given images, for check_onnx.py:
//   dump_outputs WEIGHTS MODEL images.safetensors outputs.safetensors [TOP_K SCORE IOU MOST]
// WEIGHTS: a file for `fovea export`; MODEL: the model of published weights, "" for a checkpoint. images: one
// tensor "images" (N, H, W, 3), normalised, of the network's size.
//
// outputs.safetensors gets "logits" (N, classes); or "class_logits" and "box_codes", and with the four
// numbers also the detections of detect_batch() in the whole input, in the layout of
// models/onnx/detections.h: "boxes" (N, MOST, 4), "scores" (N, MOST), "labels" (N, MOST; int32). If the file
// of images also has "class_logits" and "box_codes", the program uses these and does not run the network.
#include <cstdio>
#include <exception>

#include "core/error.h"
#include "nn/io/safetensors.h"
#include "train/classification/classifier.h"
#include "train/detection/detector.h"

using namespace fovea;

namespace {

std::vector<NamedTensor> found(const Detector& detector, const DetectorOutput& output,
                               const DetectOptions& options) {
  const int64_t n = output.class_logits.size(0), most = options.max_detections;
  const std::vector<ImageFrame> frames(size_t(n), ImageFrame{1, detector.height(), detector.width()});
  const auto detections =
      detect_batch(output.class_logits.span<float>(), output.box_codes.span<float>(), detector.anchors(),
                   int(detector.class_names().size()), frames, options);
  const Tensor boxes = zeros({n, most, 4}), scores = zeros({n, most}),
               labels = full({n, most}, -1, DType::int32);
  for (int64_t i = 0; i < n; ++i)
    for (size_t d = 0; d < detections[size_t(i)].size(); ++d) {
      const Detection& detection = detections[size_t(i)][d];
      const int64_t at = i * most + int64_t(d);
      const Box& b = detection.box;
      float* box = boxes.data<float>() + 4 * at;
      for (const float edge : {b.xmin, b.ymin, b.xmax, b.ymax}) *box++ = edge;
      scores.data<float>()[at] = detection.score;
      labels.data<int32_t>()[at] = detection.label;
    }
  return {{"boxes", boxes}, {"scores", scores}, {"labels", labels}};
}

Tensor read(const SafetensorsFile& file, const char* name) {
  const auto* entry = file.find(name);
  require(entry != nullptr, "{} has no tensor {}", file.path(), name);
  return file.read_float32(*entry);
}

std::vector<NamedTensor> outputs_of(const ModelFile& file, const SafetensorsFile& inputs,
                                    const DetectOptions* options) {
  const NoGrad no_grad;
  if (file.state().config.task == "classification") {
    const Classifier classifier(file);
    return {{"logits", classifier.forward(read(inputs, "images"))}};
  }
  const Detector detector(file);
  const DetectorOutput output = inputs.find("class_logits")
                                    ? DetectorOutput{read(inputs, "class_logits"), read(inputs, "box_codes")}
                                    : detector.outputs(read(inputs, "images"));
  std::vector<NamedTensor> outputs{{"class_logits", output.class_logits}, {"box_codes", output.box_codes}};
  if (options)
    for (NamedTensor& tensor : found(detector, output, *options)) outputs.push_back(std::move(tensor));
  return outputs;
}

}  // namespace

int main(int count, char** arguments) try {
  require(count == 5 || count == 9,
          "dump_outputs takes WEIGHTS MODEL images.safetensors outputs.safetensors [TOP_K SCORE IOU MOST]");
  DetectOptions options;
  if (count == 9) {
    options.top_k = std::stoi(arguments[5]);
    options.score_threshold = std::stof(arguments[6]);
    options.iou_threshold = std::stof(arguments[7]);
    options.max_detections = std::stoi(arguments[8]);
  }
  write_safetensors(arguments[4], {},
                    outputs_of(ModelFile(arguments[1], {arguments[2], ""}), SafetensorsFile(arguments[3]),
                               count == 9 ? &options : nullptr));
  return 0;
} catch (const std::exception& error) {
  std::fprintf(stderr, "dump_outputs: %s\n", error.what());
  return 1;
}
