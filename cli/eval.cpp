#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>
#include <memory>

#include "cli/commands.h"
#include "cli/progress.h"
#include "core/error.h"
#include "core/file.h"
#include "train/classification/classification_task.h"
#include "train/classification/evaluate_classifier.h"
#include "train/data/coco.h"
#include "train/data/held_out.h"
#include "train/detection/evaluate_detector.h"
#include "train/evaluation/box_folder.h"
#include "train/evaluation/check.h"
#include "train/evaluation/results.h"
#include "train/evaluation/voc_evaluation.h"
#include "train/run/task_kind.h"

namespace fovea {
namespace {

struct EvalFlags {
  std::string weights, model, class_names, data, split = "val", output, truth, detections, device = "cpu";
  double iou_threshold = 0.5;
  int64_t workers = 0, max_detections = 0;
  bool augment = false;
  std::vector<Flip> views{{}};  // the flips that `augment` stands for
};

void warn_of_crowding(const DetectionDataset& truth, int64_t max_detections) {
  if (const std::string text = too_many_objects(truth, max_detections); !text.empty())
    print_warnings(truth.name, {text});
}

// Prints every figure to full precision, to compare evaluators.
void print_digits(const CocoFigures& figures, const DetectionDataset& truth) {
  const auto values = figures.values();
  for (size_t i = 0; i < values.size(); ++i)
    fmt::print("{:<10} {:.12f}\n", CocoFigures::names()[i], values[i]);
  fmt::print("\n{:<20} {:>7} {:>14} {:>14} {:>14} {:>14}\n", "class", "objects", "AP", "AP50", "AP75",
             "AR100");
  for (size_t i = 0; i < figures.classes.size(); ++i) {
    const ClassFigures& c = figures.classes[i];
    fmt::print("{:<20} {:>7} {:>14.12f} {:>14.12f} {:>14.12f} {:>14.12f}\n", truth.class_names[i], c.objects,
               c.ap, c.ap50, c.ap75, c.ar100);
  }
}

void print_digits(const VocFigures& figures, const DetectionDataset& truth, double iou_threshold) {
  fmt::print("Pascal VOC at IoU {}\n{:<20} {:>7} {:>14} {:>14} {:>14}\n", iou_threshold, "class", "objects",
             "true positives", "AP", "AP 11 points");
  for (size_t i = 0; i < figures.classes.size(); ++i) {
    const VocFigures::Class& c = figures.classes[i];
    fmt::print("{:<20} {:>7} {:>14} {:>14.10f} {:>14.10f}\n", truth.class_names[i], c.objects,
               c.true_positives, c.ap, c.ap_11_points);
  }
}

// Evaluates detections that any program has written to files.
void evaluate_files(const EvalFlags& flags) {
  if (std::filesystem::is_directory(flags.truth)) {
    const auto [truth, detections] = read_box_folders(flags.truth, flags.detections);
    return print_digits(evaluate_voc(truth, detections, flags.iou_threshold), truth, flags.iou_threshold);
  }
  const DetectionDataset truth = read_coco(flags.truth, {}, {}, {.require_images = false});
  print_warnings(truth.name, truth.warnings);
  const int64_t most = std::max<int64_t>(100, flags.max_detections);
  warn_of_crowding(truth, most);
  print_digits(evaluate_coco(truth, read_coco_results(flags.detections, truth), most), truth);
}

// Called before the work begins: results must not overwrite input files.
void require_output_apart(const EvalFlags& flags, const std::vector<std::string>& images) {
  if (flags.output.empty()) return;
  protect_files(images);
  for (const char* place : {"", "/pictures"}) require_unprotected(flags.output + place);
}

void measure(Detector& detector, const TrainConfig& config, const EvalFlags& flags) {
  const DetectionDataset dataset =
      open_or_draw(config.data, flags.split, uint64_t(config.seed), detector.class_names());
  print_warnings(dataset.name, dataset.warnings);
  warn_of_crowding(dataset, config.max_detections);
  require_output_apart(flags, files_of(dataset));
  fmt::print("{}", evaluate_detector(detector, dataset, config, flags.output, nullptr, single_process(),
                                     flags.views));
}

void measure(Classifier& classifier, const TrainConfig& config, const EvalFlags& flags) {
  const ClassificationDataset dataset =
      open_classification_split(config.data, flags.split, classifier.class_names());
  print_warnings(dataset.name, dataset.warnings);
  require_output_apart(flags, files_of(dataset));
  fmt::print("{}", evaluate_classifier(classifier, dataset, config, flags.output, nullptr, single_process(),
                                       flags.views));
}

void run_eval(EvalFlags flags) {
  if (!flags.truth.empty() || !flags.detections.empty()) {
    require(!flags.truth.empty() && !flags.detections.empty() && flags.weights.empty(),
            "give --truth and --detections together, and without a checkpoint");
    require(!flags.augment, "--augment needs a network: leave it out to evaluate detections in files");
    return evaluate_files(flags);
  }
  require(!flags.weights.empty(),
          "give a checkpoint, such as runs/1/best.safetensors, or --truth and --detections");
  protect_files(std::vector{flags.weights, flags.class_names});
  const ModelFile model(flags.weights, {flags.model, flags.class_names});
  TrainConfig config = model.state().config;
  if (!flags.data.empty()) config.data = flags.data;
  require(!config.data.empty(), "published weights do not name a data set: give --data");
  config.workers = flags.workers;
  if (flags.augment) flags.views = test_time_flips(config);
  if (flags.max_detections > 0) config.max_detections = flags.max_detections;
  TrainedModel trained = load_model(model, parse_device(flags.device));
  std::visit([&](auto& network) { measure(network, config, flags); }, trained);
}

}  // namespace

void add_eval_command(CLI::App& program) {
  auto flags = std::make_shared<EvalFlags>();
  CLI::App* command = program.add_subcommand("eval", "Evaluate a detector or a classifier on a data set");
  command->add_option("weights", flags->weights,
                      "a checkpoint of `fovea train`, such as runs/1/best.safetensors, or a safetensors file "
                      "of effdet's weights");
  command->add_option("--model", flags->model,
                      "model of published weights, e.g. tf_efficientdet_d0 (default: from the file name)");
  command->add_option(
      "--class-names", flags->class_names,
      "class names for published weights: a text file with one name per line (default: COCO's)");
  command->add_option("--data", flags->data,
                      "folder of the data set (default: the one the model was trained on)");
  command->add_option("--split", flags->split, "split to evaluate on")->capture_default_str();
  command->add_option("--output", flags->output,
                      "folder for the results: report.html, which shows the mistakes and the worst images, "
                      "pictures/, detections.json and mistakes.csv");
  command->add_option("--device", flags->device, "cpu or cuda")->capture_default_str();
  command
      ->add_option("--workers", flags->workers, "threads that prepare images (default: as for `fovea train`)")
      ->check(CLI::Range(1, 256));
  command
      ->add_option("--max-detections", flags->max_detections,
                   "boxes that count per image (default: as in training, 100); COCO's figures count 100 "
                   "boxes of each class, or this many if it is more")
      ->check(CLI::Range(1, 5000));
  command->add_flag("--augment", flags->augment, augment_help);
  command->add_option(
      "--truth", flags->truth,
      "ground truth, instead of a checkpoint: COCO annotations (.json), or a folder of text files \"class "
      "x y width height\"");
  command->add_option(
      "--detections", flags->detections,
      "with --truth: COCO results (.json), or a folder of text files \"class score x y width height\"");
  command
      ->add_option("--iou", flags->iou_threshold,
                   "with folders of text files: the smallest IoU at which a box counts as found")
      ->capture_default_str();
  command->footer(
      "\nExamples:\n"
      "  fovea eval runs/1/best.safetensors --split test\n"
      "  fovea eval runs/1/best.safetensors --split train --output wrong     (a report of its mistakes)\n"
      "  fovea eval --truth instances_val.json --detections results.json     (the same figures as "
      "pycocotools)\n"
      "  fovea eval --truth gts --detections dets --iou 0.5                  (Pascal VOC's figures)");
  command->callback([flags] { run_eval(*flags); });
}

}  // namespace fovea
