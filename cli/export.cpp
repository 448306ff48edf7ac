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

// `class_names`: those that the network was trained with here; none of published weights, whose files have
// none.
void write_weights(const Module& model, const std::vector<std::string>& class_names,
                   const ExportFlags& flags) {
  require(!flags.detections, "--detections is for ONNX files: {} only holds weights", flags.output);
  std::map<std::string, std::string> metadata;
  if (!class_names.empty()) metadata["class_names"] = dump_json(nlohmann::json(class_names));
  save_published(flags.output, model, flags.names, metadata);
  fmt::print("{}: {} parameters by the names of {}\n", flags.output, model.parameter_count(),
             describe(flags.names));
}

void run_export(ExportFlags flags) {
  protect_files(open_weight_file(flags.weights)->files());
  protect_files(std::vector{flags.class_names});
  require_unprotected(flags.output);
  const ModelFile file(flags.weights, {flags.model, flags.class_names});
  require(!file.is_quantized() || !flags.output.ends_with(".safetensors"),
          "{} is quantised, and its bytes are no weights for PyTorch: export the checkpoint that it was made "
          "of, or write an ONNX file",
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
      "\nONNX's input: images, float32 (batch, 3, height, width), RGB, (pixel / 255 - mean) / std by the "
      "file's "
      "metadata;\n"
      "for a detector scaled to fit into the top left corner, the rest 0. Boxes are in pixels of this "
      "input.\n"
      "\nExamples:\n"
      "  fovea export runs/1/best.safetensors --output cells.onnx --detections\n"
      "  fovea export runs/1/best.int8.safetensors --output cells.int8.onnx       (of `fovea quantize`)\n"
      "  fovea export weights.safetensors --model tf_efficientnet_b0             (timm's weights)\n"
      "  fovea export runs/1/best.safetensors --output cells.safetensors         (what PyTorch's "
      "load_state_dict takes)");
  command
      ->add_option("weights", flags->weights,
                   "what `fovea train` or `fovea quantize` wrote: runs/1/best.safetensors; or a safetensors "
                   "file of timm's or effdet's weights")
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
  command
      ->add_option("--names", flags->names,
                   "of *.safetensors: timm (and effdet), efficientnet_pytorch (a classifier), or zylo117 (a "
                   "detector of D0 to D7)")
      ->transform(CLI::CheckedTransformer(
          std::map<std::string, PublishedNames>{
              {"timm", PublishedNames::timm},
              {"efficientnet_pytorch", PublishedNames::efficientnet_pytorch},
              {"zylo117", PublishedNames::zylo117}},
          CLI::ignore_case));
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
  flags->detect.max_detections = 0;
  command
      ->add_option("--max-detections", flags->detect.max_detections,
                   "boxes of each image (default: as in the training, 100)")
      ->check(CLI::Range(1, 100'000))
      ->needs(detections);
  command->callback([flags] { run_export(*flags); });
}

}  // namespace fovea
