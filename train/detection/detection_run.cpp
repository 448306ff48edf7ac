#include "train/detection/detection_run.h"

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "core/error.h"
#include "core/file.h"
#include "train/data/anchor_fit.h"
#include "train/data/image/image_io.h"
#include "train/detection/detection_task.h"
#include "train/evaluation/mistakes.h"
#include "train/evaluation/results.h"
#include "train/evaluation/voc_evaluation.h"
#include "train/parallel/data_parallel.h"
#include "train/report/draw.h"
#include "train/report/learning_curves.h"
#include "train/report/mistake_pictures.h"
#include "train/report/mosaic.h"
#include "train/report/run_report.h"

namespace fovea {
namespace {

constexpr size_t pictures_in_report = 12, worst_in_report = 12;
constexpr double learned_by_heart = 0.995;  // AP50

// The first pictures as the network sees them: labels that do not fit are seen at a glance.
Image augmented_pictures(DetectionTask& task, const std::vector<std::string>& class_names) {
  const int height = task.detector().height(), width = task.detector().width();
  const size_t most = std::max(height, width) <= 640 ? 16 : 4;
  const size_t pixels = size_t(height) * size_t(width) * 3;
  std::vector<Image> drawn;
  for (int64_t step = 0; drawn.size() < most && step < int64_t(most); ++step) {
    const Tensor images = task.batches().empty_images();
    const std::vector<PreparedImage> prepared = task.batches().pictures(step, images);
    for (size_t k = 0; k < prepared.size() && drawn.size() < most; ++k) {
      const PreparedImage& p = prepared[k];
      std::vector<DrawnBox> boxes;
      for (const Box& b : p.crowds) boxes.push_back({b.xmin, b.ymin, b.xmax, b.ymax, 0, "crowd", true});
      for (size_t i = 0; i < p.boxes.size(); ++i)
        boxes.push_back({p.boxes[i].xmin, p.boxes[i].ymin, p.boxes[i].xmax, p.boxes[i].ymax, p.labels[i],
                         class_names[size_t(p.labels[i])]});
      drawn.push_back(
          draw_boxes(picture_of(images.span<float>().subspan(k * pixels, pixels), height, width), boxes));
    }
  }
  return arrange(drawn, width, height);
}

class DetectionWork : public TrainingRun::Work {
 public:
  DetectionWork(const TrainConfig& config, const DetectionDataset& train, const DetectionDataset& validation)
      : Work(train.warnings, validation.warnings),
        config_(config),
        train_(train),
        validation_(validation),
        task_(config, train, validation) {}

  Task& task() override { return task_; }
  std::string name() const override { return train_.name; }
  std::string description() override {
    int64_t objects = 0;
    for (const LabelledImage& image : train_.images) objects += int64_t(image.annotations.size());
    return fmt::format(
        "{}: {} parameters, {}x{} px, {} anchors; {} images with {} objects of {} classes ({}); {} steps of "
        "{}",
        config_.model, task_.model().parameter_count(), task_.detector().height(), task_.detector().width(),
        task_.detector().anchors().size(), train_.images.size(), objects, train_.class_names.size(),
        fmt::join(train_.class_names, ", "), config_.steps, images_per_step(config_));
  }
  void begin(const std::string& folder) override {
    write_image(folder + "/augmented.jpg", augmented_pictures(task_, train_.class_names));
  }
  std::string finish(const std::string& folder) override {
    Detector best(ModelFile(folder + "/best.safetensors"));
    CocoFigures figures;
    const std::string text =
        evaluate_detector(best, validation_, config_, is_main_process() ? folder : "", &figures) +
        fmt::format("weights:  {}/best.safetensors\n", folder);
    if (config_.overfit == 0) return text;
    if (figures.ap50 >= learned_by_heart)
      return text + fmt::format(
                        "\nlearned by heart: AP50 is {:.4f} on the {} training images it was shown; "
                        "data, network and evaluation fit together\n",
                        figures.ap50, train_.images.size());
    failure_ = fmt::format(
        "AP50 is {:.4f} on the {} training images it was shown, where 1 was to be reached: look at "
        "{}/pictures, where truth and detections should lie on each other, and at `fovea data check {}` for "
        "boxes that no anchor fits; if the loss was still falling, give more --steps than {}",
        figures.ap50, train_.images.size(), folder, config_.data, config_.steps);
    return text;
  }

 private:
  TrainConfig config_;
  DetectionDataset train_, validation_;
  DetectionTask task_;
};

struct Measured {
  std::vector<std::vector<Detection>> detections;
  CocoFigures coco;
  VocFigures voc;
  Mistakes mistakes;

  std::string mistakes_text() const {
    return fmt::format(
        "Detections with a score of {:.3f} or more (where F1 is highest: {:.3f}; precision {:.3f}, recall "
        "{:.3f}): {} of {} objects found, {} missed, {} taken for another class, {} false alarms",
        mistakes.score_threshold, mistakes.f1(), mistakes.precision(), mistakes.recall(),
        mistakes.count(Outcome::right), mistakes.objects, mistakes.missed(),
        mistakes.count(Outcome::wrong_class), mistakes.false_alarms());
  }
};

void write_report(const Measured& measured, ImageCache& images, const Detector& detector,
                  const DetectionDataset& dataset, const TrainConfig& config, const std::string& folder) {
  RunReport report;
  report.title = fmt::format("{} on {}", config.model, dataset.name);
  report.summary = {
      {"parameters", std::to_string(detector.model().parameter_count())},
      {"input", fmt::format("{} x {} px", detector.height(), detector.width())},
      {"images measured", std::to_string(dataset.images.size())},
      {"AP", fmt::format("{:.4f}", measured.coco.ap)},
      {"AP50", fmt::format("{:.4f}", measured.coco.ap50)},
      {"AP50, Pascal VOC's way", fmt::format("{:.4f}", measured.voc.mean_ap)},
      {"steps x images", fmt::format("{} x {}", config.steps, images_per_step(config))},
      {"optimizer", fmt::format("{}, learning rate {:.4g}", config.optimizer, config.learning_rate)},
      {"seed", std::to_string(config.seed)}};
  if (std::filesystem::exists(folder + "/metrics.csv"))
    report.charts = learning_curves(folder + "/metrics.csv");
  report.class_names = dataset.class_names;
  report.figures = measured.coco;
  create_folder(folder + "/pictures");
  const size_t stride = std::max<size_t>(1, dataset.images.size() / pictures_in_report);
  for (size_t i = 0; i < dataset.images.size() && report.pictures.size() < pictures_in_report; i += stride) {
    const auto image = images.get(i);
    const std::string stem = std::filesystem::path(dataset.images[i].file).stem().string();
    report.pictures.push_back({stem,
                               draw_annotations(*image, dataset.images[i].annotations, dataset.class_names),
                               draw_detections(*image, measured.detections[i], dataset.class_names)});
    write_image(fmt::format("{}/pictures/{}.jpg", folder, stem), report.pictures.back().detections);
  }
  report.mistakes =
      measured.mistakes_text() +
      ". A detection and an object belong together from an IoU of 0.5 on; the better score chooses first.";
  report.confusion = measured.mistakes.confusion;
  const DatasetDetections scored = scored_boxes(measured.detections);
  for (const size_t i : worst_images(measured.mistakes, worst_in_report))
    report.worst.push_back(draw_mistakes(*images.get(i), dataset.images[i], scored[i],
                                         measured.mistakes.images[i], dataset.class_names));
  write_run_report(folder + "/report.html", report);
  write_file_atomically(folder + "/mistakes.csv", mistakes_csv(measured.mistakes, dataset));
}

std::vector<int64_t> boxes_of_classes(const DetectionDataset& dataset) {
  std::vector<int64_t> counts(dataset.class_names.size());
  for (const LabelledImage& image : dataset.images)
    for (const Annotation& a : image.annotations)
      if (!a.crowd) ++counts[size_t(a.label)];
  return counts;
}

// Classes to learn that are not there, or not to be measured.
void warn_of_classes(const DetectionDataset& train, const DetectionDataset& validation,
                     std::vector<std::string>& warnings) {
  const auto learned = boxes_of_classes(train), measured = boxes_of_classes(validation);
  std::vector<std::string> unseen, unmeasured;
  for (size_t i = 0; i < learned.size(); ++i) {
    if (learned[i] == 0) unseen.push_back(train.class_names[i]);
    if (learned[i] > 0 && measured[i] == 0) unmeasured.push_back(train.class_names[i]);
  }
  require(unseen.size() < learned.size(), "{} has no box in any of its {} images: there is nothing to learn",
          train.name, train.images.size());
  if (!unseen.empty())
    warnings.push_back(fmt::format("{} has no box of class {}: it will not be learned", train.name,
                                   fmt::join(unseen, ", ")));
  if (std::all_of(measured.begin(), measured.end(), [](int64_t n) { return n == 0; }))
    warnings.push_back(
        fmt::format("{} has no box at all: every figure will be -1, and which weights are best "
                    "cannot be told",
                    validation.name));
  else if (!unmeasured.empty())
    warnings.push_back(fmt::format("{} has no box of class {}: what is learned of it is not measured",
                                   validation.name, fmt::join(unmeasured, ", ")));
}

// What makes the loss fall and AP stay at 0, as far as the labels alone tell; in front of what the reader
// said.
void warn_before_training(DetectionDataset& train, const DetectionDataset& validation,
                          const TrainConfig& config) {
  constexpr double enough_covered = 0.8, too_many_faults = 0.03;
  constexpr size_t few_faults = 10;
  std::vector<const LabelledImage*> images;
  size_t boxes = 0;
  for (const LabelledImage& image : train.images) images.push_back(&image), boxes += image.annotations.size();
  const auto size = parse_image_size(config.image_size);
  std::vector<std::string> warnings;
  warn_of_classes(train, validation, warnings);
  const AnchorOptions anchors = detector_spec(config).anchors;
  const double covered = covered_share(images, size[0], size[1], anchors);
  if (covered < enough_covered) {
    const InputChoice better = suggest_input(images, anchors);
    std::string text = fmt::format(
        "{:.0f} % of the training boxes overlap no anchor with an IoU of 0.5 at {}x{} pixels and anchor "
        "scale "
        "{:g}, and get one anchor by force at most",
        100 * (1 - covered), size[0], size[1], config.anchor_scale);
    if (better.covered > covered)
      text += fmt::format(": --image-size {}x{} --anchor-scale {:g} would leave {:.0f} %", better.height,
                          better.width, better.anchor_scale, 100 * (1 - better.covered));
    warnings.push_back(text + fmt::format("; `fovea data check {}` shows their sizes", config.data));
  }
  if (train.warnings.size() > few_faults && double(train.warnings.size()) > too_many_faults * double(boxes))
    warnings.push_back(
        fmt::format("{} has {} faults beside {} good boxes: `fovea data check {}` tells whether the boxes' "
                    "numbers are in another order",
                    train.name, train.warnings.size(), boxes, config.data));
  train.warnings.insert(train.warnings.begin(), warnings.begin(), warnings.end());
}

// The first `count` images that have something to be found.
void keep_first(DetectionDataset& dataset, size_t count) {
  std::erase_if(dataset.images, [](const LabelledImage& image) {
    return std::all_of(image.annotations.begin(), image.annotations.end(),
                       [](const Annotation& a) { return a.crowd; });
  });
  require(dataset.images.size() >= count, "--overfit is {}, and {} has {} images with boxes: give less",
          count, dataset.name, dataset.images.size());
  dataset.images.resize(count);
}

}  // namespace

std::unique_ptr<TrainingRun::Work> make_detection_work(TrainingState& state) {
  TrainConfig& c = state.config;
  DetectionDataset train = open_dataset(c.data, c.train_split);
  if (c.overfit > 0) keep_first(train, size_t(c.overfit));
  DetectionDataset validation = c.overfit > 0 ? train : open_dataset(c.data, c.val_split, train.class_names);
  if (c.overfit > 0) validation.warnings.clear();  // said once
  if (parse_image_size(c.image_size)[0] == 0) {
    const auto [height, width] = suited_image_size(train, efficientdet_spec(c.model).image_size);
    c.image_size = height == width ? std::to_string(height) : fmt::format("{}x{}", height, width);
  }
  c = resolve_config(c, int64_t(train.images.size()));
  c.anchor_scale = detector_spec(c).anchors.anchor_scale;
  warn_before_training(train, validation, c);
  state.class_names = train.class_names;
  state.category_ids = train.category_ids;
  return std::make_unique<DetectionWork>(c, train, validation);
}

std::string evaluate_detector(Detector& detector, const DetectionDataset& dataset, const TrainConfig& config,
                              const std::string& folder, CocoFigures* figures) {
  ImageCache images(files_of(dataset), config.cache_mb << 20);
  Measured measured{detect_dataset(detector, dataset, images, int(config.workers)), {}, {}, {}};
  const DatasetDetections scored = scored_boxes(measured.detections);
  measured.coco = evaluate_coco(dataset, scored);
  measured.voc = evaluate_voc(dataset, scored, 0.5);
  if (figures) *figures = measured.coco;
  measured.mistakes = find_mistakes(dataset, scored, best_score_threshold(dataset, scored));
  std::string text =
      fmt::format("{}{}Pascal VOC AP50: {:.4f} (11 points: {:.4f})\n{}\n", coco_table(measured.coco),
                  class_table(measured.coco, dataset.class_names), measured.voc.mean_ap,
                  measured.voc.mean_ap_11_points, measured.mistakes_text());
  if (folder.empty()) return text;
  write_report(measured, images, detector, dataset, config, folder);
  write_coco_results(folder + "/detections.json", dataset, scored);
  return text + fmt::format("\nreport:   {0}/report.html\npictures: {0}/pictures\n", folder);
}

}  // namespace fovea
