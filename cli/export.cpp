#include <CLI/CLI.hpp>
#include <memory>

#include "cli/commands.h"
#include "core/error.h"
#include "core/file.h"
#include "models/onnx/export.h"
#include "models/weights.h"
#include "nn/io/json.h"
#include "train/run/task_kind.h"

namespace fovea {
namespace {

struct ExportFlags {
  std::string weights, model, class_names, output = "model.onnx";
  PublishedNames names = PublishedNames::timm;
  bool detections = false;
  DetectOptions detect;
};

void write_onnx(const Detector& detector, const ExportFlags& flags) {
  const OnnxOptions options{detector.height(), detector.width(), detector.class_names()};
  const auto detections = flags.detections ? std::optional(flags.detect) : std::nullopt;
  if (const QuantizedNetwork* network = detector.quantized())
    export_onnx(flags.output, detector.model(), network->recorded(), options, detections);
  else
    export_onnx(flags.output, detector.model(), options, detections);
  fmt::print("{}: images (batch, 3, {}, {}) -> {}\n", flags.output, detector.height(), detector.width(),
             flags.detections ? "boxes, scores, labels" : "class_logits, box_codes, anchors");
}

void write_onnx(const Classifier& classifier, const ExportFlags& flags) {
  require(!flags.detections, "--detections is for detectors: {} is a classifier", flags.weights);
  export_onnx(flags.output, classifier.model(),
              {classifier.size(), classifier.size(), classifier.class_names()});
  fmt::print("{}: images (batch, 3, {}, {}) -> logits\n", flags.output, classifier.size(), classifier.size());
}

// `class_names` holds the names the network was trained with. It is empty for published weights, whose files
// have none.
void write_weights(const Module& model, const std::vector<std::string>& class_names,
                   const ExportFlags& flags) {
  require(!flags.detections, "--detections is for ONNX files: {} only holds weights", flags.output);
  std::map<std::string, std::string> metadata;
  if (!class_names.empty()) metadata["class_names"] = dump_json(nlohmann::json(class_names));
  save_published(flags.output, model, flags.names, metadata);
  fmt::print("{}: {} parameters with the names of {}\n", flags.output, model.parameter_count(),
             describe(flags.names));
}

void run_export(ExportFlags flags) {
  protect_files(open_weight_file(flags.weights)->files());
  protect_files(std::vector{flags.class_names});
  require_unprotected(flags.output);
  const ModelFile file(flags.weights, {flags.model, flags.class_names});
  require(
      !file.is_quantized() || !flags.output.ends_with(".safetensors"),
      "{} is quantised, and PyTorch cannot load its bytes as weights: export the checkpoint that it was made "
      "from, or write an ONNX file",
      flags.weights);
  if (flags.detect.max_detections == 0) flags.detect.max_detections = int(file.state().config.max_detections);
  const TrainedModel trained = load_model(file);
  std::visit(
      [&](const auto& network) {
        if (flags.output.ends_with(".safetensors"))
          write_weights(network.model(),
                        file.is_checkpoint() ? network.class_names() : std::vector<std::string>(), flags);
        else
          write_onnx(network, flags);
      },
      trained);
}

}  // namespace

void add_export_command(CLI::App& program) {
  auto flags = std::make_shared<ExportFlags>();
  CLI::App* command = program.add_subcommand(
      "export", "Write a trained network for other programs: ONNX, or weights for PyTorch");
  command->footer(
      "\nThe ONNX input `images` is float32 (batch, 3, height, width), RGB, (pixel / 255 - mean) / std with "
      "the values in the\n"
      "file's metadata. For a detector the image is scaled to fit into the top left corner, and the rest is "
      "0. Boxes are in\n"
      "pixels of this input.\n"
      "\nExamples:\n"
      "  fovea export runs/1/best.safetensors --output cells.onnx --detections\n"
      "  fovea export runs/1/best.int8.safetensors --output cells.int8.onnx       (of `fovea quantize`)\n"
      "  fovea export weights.safetensors --model tf_efficientnet_b0             (timm's weights)\n"
      "  fovea export runs/1/best.safetensors --output cells.safetensors         (for PyTorch's "
      "load_state_dict)");
  command
      ->add_option("weights", flags->weights,
                   "a checkpoint of `fovea train` or a file of `fovea quantize`, such as "
                   "runs/1/best.safetensors, or a "
                   "safetensors file of timm's or effdet's weights")
      ->required();
  command->add_option("--model", flags->model,
                      "model of published weights, e.g. tf_efficientdet_d0 (default: from the file name)");
  command->add_option("--class-names", flags->class_names,
                      "class names for published weights: a text file with one name per line (default: "
                      "COCO's or ImageNet's)");
  command
      ->add_option(
          "--output", flags->output,
          "the ONNX file, or *.safetensors for only the weights, with timm's and effdet's names and layouts")
      ->capture_default_str();
  command
      ->add_option("--names", flags->names,
                   "parameter names in *.safetensors: timm (and effdet), efficientnet_pytorch (classifiers), "
                   "or zylo117 (detectors D0 to D7)")
      ->transform(CLI::CheckedTransformer(
          std::map<std::string, PublishedNames>{
              {"timm", PublishedNames::timm},
              {"efficientnet_pytorch", PublishedNames::efficientnet_pytorch},
              {"zylo117", PublishedNames::zylo117}},
          CLI::ignore_case));
  CLI::Option* detections =
      command->add_flag("--detections", flags->detections,
                        "for a detector: compute boxes, scores and labels in the graph itself; without this "
                        "flag the file computes logits and box codes");
  command->add_option("--top-k", flags->detect.top_k, "pairs of anchor and class to decode per image")
      ->check(CLI::Range(1, 1'000'000))
      ->needs(detections)
      ->capture_default_str();
  command
      ->add_option("--score-threshold", flags->detect.score_threshold,
                   "keep only detections that score more than this")
      ->check(CLI::Range(0.0, 0.999))
      ->needs(detections)
      ->capture_default_str();
  command
      ->add_option("--iou-threshold", flags->detect.iou_threshold,
                   "drop boxes that overlap a better one of the same class by more than this")
      ->check(CLI::Range(0.0, 1.0))
      ->needs(detections)
      ->capture_default_str();
  flags->detect.max_detections = 0;
  command
      ->add_option("--max-detections", flags->detect.max_detections,
                   "boxes per image (default: as in training, 100)")
      ->check(CLI::Range(1, 100'000))
      ->needs(detections);
  command->callback([flags] { run_export(*flags); });
}

}  // namespace fovea
