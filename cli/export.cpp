#include <CLI/CLI.hpp>
#include <memory>

#include "cli/commands.h"
#include "core/error.h"
#include "models/onnx/export.h"
#include "models/weights.h"
#include "train/classification/classifier.h"
#include "train/detection/detector.h"

namespace fovea {
namespace {

struct ExportFlags {
  std::string weights, model, class_names, output = "model.onnx";
  bool detections = false;
  DetectOptions detect;
};

void export_detector(const ModelFile& file, const ExportFlags& flags) {
  const Detector detector(file);
  const OnnxOptions options{detector.height(), detector.width(), detector.class_names()};
  export_onnx(flags.output, detector.model(), options,
              flags.detections ? std::optional(flags.detect) : std::nullopt);
  fmt::print("{}: images (batch, 3, {}, {}) -> {}\n", flags.output, detector.height(), detector.width(),
             flags.detections ? "boxes, scores, labels" : "class_logits, box_codes, anchors");
}

void export_classifier(const ModelFile& file, const ExportFlags& flags) {
  require(!flags.detections, "--detections is for detectors: {} is a classifier", flags.weights);
  Classifier classifier(file);
  export_onnx(flags.output, classifier.model(),
              {classifier.size(), classifier.size(), classifier.class_names()});
  fmt::print("{}: images (batch, 3, {}, {}) -> logits\n", flags.output, classifier.size(), classifier.size());
}

void export_weights(const ModelFile& file, const ExportFlags& flags) {
  require(!flags.detections, "--detections is for ONNX files: {} holds weights alone", flags.output);
  const auto write = [&](const Module& model) {
    save_weights(flags.output, model);
    fmt::print("{}: {} parameters by timm's and effdet's names\n", flags.output, model.parameter_count());
  };
  if (file.state().config.task == "detection")
    write(Detector(file).model());
  else
    write(Classifier(file).model());
}

void run_export(const ExportFlags& flags) {
  const ModelFile file(flags.weights, {flags.model, flags.class_names});
  if (flags.output.ends_with(".safetensors"))
    export_weights(file, flags);
  else if (file.state().config.task == "detection")
    export_detector(file, flags);
  else
    export_classifier(file, flags);
}

}  // namespace

void add_export_command(CLI::App& program) {
  auto flags = std::make_shared<ExportFlags>();
  CLI::App* command = program.add_subcommand(
      "export", "Write a trained network for other programs: ONNX, or weights for PyTorch");
  command->footer(
      "\nONNX's input: images, float32 (batch, 3, height, width), RGB, (pixel / 255 - mean) / std by the "
      "file's "
      "metadata;\n"
      "for a detector scaled to fit into the top left corner, the rest 0. Boxes are in pixels of this "
      "input.\n"
      "\nExamples:\n"
      "  fovea export runs/1/best.safetensors --output cells.onnx --detections\n"
      "  fovea export weights.safetensors --model tf_efficientnet_b0             (timm's weights)\n"
      "  fovea export runs/1/best.safetensors --output cells.safetensors         (what PyTorch's "
      "load_state_dict takes)");
  command
      ->add_option("weights", flags->weights,
                   "what `fovea train` wrote: runs/1/best.safetensors; or a safetensors file of timm's or "
                   "effdet's weights")
      ->required();
  command->add_option("--model", flags->model,
                      "of published weights: like tf_efficientdet_d0 (default: the one in the file's name)");
  command->add_option("--class-names", flags->class_names,
                      "of published weights: a text file, one name a line (default: COCO's or ImageNet's)");
  command
      ->add_option(
          "--output", flags->output,
          "the ONNX file; or *.safetensors: the weights alone, with timm's and effdet's names and layouts")
      ->capture_default_str();
  CLI::Option* detections = command->add_flag(
      "--detections", flags->detections,
      "of a detector: boxes, scores and labels, found in the graph itself; without it the file "
      "computes logits and box codes");
  command
      ->add_option("--top-k", flags->detect.top_k,
                   "pairs of anchor and class that are decoded, of each image")
      ->check(CLI::Range(1, 1'000'000))
      ->needs(detections)
      ->capture_default_str();
  command->add_option("--score-threshold", flags->detect.score_threshold, "detections must score more")
      ->check(CLI::Range(0.0, 0.999))
      ->needs(detections)
      ->capture_default_str();
  command
      ->add_option("--iou-threshold", flags->detect.iou_threshold,
                   "boxes of a class that overlap a better one by more are dropped")
      ->check(CLI::Range(0.0, 1.0))
      ->needs(detections)
      ->capture_default_str();
  command->add_option("--max-detections", flags->detect.max_detections, "boxes of each image")
      ->check(CLI::Range(1, 100'000))
      ->needs(detections)
      ->capture_default_str();
  command->callback([flags] { run_export(*flags); });
}

}  // namespace fovea
