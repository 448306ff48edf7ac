#include "train/detection/evaluate_detector.h"

#include <algorithm>
#include <filesystem>
#include <set>

#include "core/error.h"
#include "core/file.h"
#include "train/data/image/image_io.h"
#include "train/evaluation/mistakes.h"
#include "train/evaluation/results.h"
#include "train/evaluation/voc_evaluation.h"
#include "train/report/draw.h"
#include "train/report/learning_curves.h"
#include "train/report/mistake_images.h"
#include "train/report/result_names.h"
#include "train/report/run_report.h"

namespace fovea {
namespace {

constexpr size_t images_in_report = 12, worst_in_report = 12;

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

// A sentence about pictures of earlier evaluations, or nothing.
std::string write_report(const Measured& measured, ImageCache& images, const Detector& detector,
                         const DetectionDataset& dataset, const TrainConfig& config,
                         const std::string& folder) {
  RunReport report;
  report.title = fmt::format("{} on {}", config.model, dataset.name);
  report.summary = {
      {"parameters", std::to_string(detector.model().parameter_count())},
      {"input", fmt::format("{} x {} px", detector.height(), detector.width())},
      {"images evaluated", std::to_string(dataset.images.size())},
      {"AP", fmt::format("{:.4f}", measured.coco.ap)},
      {"AP50", fmt::format("{:.4f}", measured.coco.ap50)},
      {"AP50 of Pascal VOC", fmt::format("{:.4f}", measured.voc.mean_ap)},
      {"steps x images", fmt::format("{} x {}", config.steps, images_per_step(config))},
      {"optimizer", fmt::format("{}, learning rate {:.4g}", config.optimizer, config.learning_rate)},
      {"seed", std::to_string(config.seed)}};
  if (std::filesystem::exists(folder + "/metrics.csv"))
    report.charts = learning_curves(folder + "/metrics.csv");
  report.class_names = dataset.class_names;
  report.figures = measured.coco;
  create_folder(folder + "/pictures");
  std::vector<std::string> files;
  for (const LabelledImage& image : dataset.images)
    files.push_back(std::filesystem::path(image.file).filename().string());
  const std::vector<std::string> names = result_names(files);
  std::set<std::string> written;
  const size_t stride = std::max<size_t>(1, dataset.images.size() / images_in_report);
  for (size_t i = 0; i < dataset.images.size() && report.images.size() < images_in_report; i += stride) {
    const auto image = images.get(i);
    report.images.push_back({names[i],
                             draw_annotations(*image, dataset.images[i].annotations, dataset.class_names),
                             draw_detections(*image, measured.detections[i], dataset.class_names)});
    write_image(fmt::format("{}/pictures/{}.jpg", folder, names[i]), report.images.back().detections);
    written.insert(names[i] + ".jpg");
  }
  report.mistakes = measured.mistakes_text() +
                    ". A detection and an object match at an IoU of 0.5 or more; detections with better "
                    "scores are matched first.";
  report.confusion = measured.mistakes.confusion;
  const DatasetDetections scored = scored_boxes(measured.detections);
  for (const size_t i : worst_images(measured.mistakes, worst_in_report))
    report.worst.push_back(draw_mistakes(*images.get(i), dataset.images[i], scored[i],
                                         measured.mistakes.images[i], dataset.class_names));
  write_run_report(folder + "/report.html", report);
  write_file_atomically(folder + "/mistakes.csv", mistakes_csv(measured.mistakes, dataset));
  return left_from_before(folder + "/pictures", written);
}

}  // namespace

std::string evaluate_detector(Detector& detector, const DetectionDataset& dataset, const TrainConfig& config,
                              const std::string& folder, CocoFigures* figures, ProcessGroup& group,
                              std::span<const Flip> views) {
  ImageCache images(files_of(dataset), config.cache_mb << 20);
  const DetectOptions options{.max_detections = int(config.max_detections)};
  Measured measured{
      detect_dataset(detector, dataset, images, int(config.workers), options, {}, group, views), {}, {}, {}};
  const DatasetDetections scored = scored_boxes(measured.detections);
  measured.coco = evaluate_coco(dataset, scored, config.max_detections);
  measured.voc = evaluate_voc(dataset, scored, 0.5);
  if (figures) *figures = measured.coco;
  measured.mistakes = find_mistakes(dataset, scored, best_score_threshold(dataset, scored));
  std::string text =
      fmt::format("{}{}Pascal VOC AP50: {:.4f} (11 points: {:.4f})\n{}\n", coco_table(measured.coco),
                  class_table(measured.coco, dataset.class_names), measured.voc.mean_ap,
                  measured.voc.mean_ap_11_points, measured.mistakes_text());
  if (folder.empty()) return text;
  const std::string left = write_report(measured, images, detector, dataset, config, folder);
  write_coco_results(folder + "/detections.json", dataset, scored);
  return text + fmt::format("\nreport:   {0}/report.html\nimages:   {0}/pictures{1}\n", folder,
                            left.empty() ? "" : "\nwarning:  " + left);
}

}  // namespace fovea
