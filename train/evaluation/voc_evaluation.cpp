// Compiled with -ffp-contract=off: CMakeLists.txt gives the reason.
#include "train/evaluation/voc_evaluation.h"

#include <algorithm>
#include <set>

#include "core/error.h"
#include "train/evaluation/check.h"

namespace fovea {
namespace {

struct ImageDetection {
  size_t image;
  const ScoredBox* box;
};

bool counts(const Annotation& object) { return !object.difficult && !object.crowd; }

// VOCdevkit, VOCevaldet.m: both edge pixels belong to a box.
double inclusive_iou(const ScoredBox& a, const Annotation& b) {
  const double width = std::min(a.x + a.width, b.x + b.width) - std::max(a.x, b.x) + 1;
  const double height = std::min(a.y + a.height, b.y + b.height) - std::max(a.y, b.y) + 1;
  if (width <= 0 || height <= 0) return 0;
  const double intersection = width * height;
  return intersection / ((a.width + 1) * (a.height + 1) + (b.width + 1) * (b.height + 1) - intersection);
}

// The object of the box's class that it overlaps most, the first of equals; null if none reaches the
// threshold.
const Annotation* best_overlap(const ScoredBox& box, const LabelledImage& image, double iou_threshold) {
  const Annotation* best = nullptr;
  double best_iou = 0;
  for (const Annotation& object : image.annotations) {
    if (object.label != box.label) continue;
    const double overlap = inclusive_iou(box, object);
    if (overlap > best_iou) best_iou = overlap, best = &object;
  }
  return best_iou >= iou_threshold ? best : nullptr;
}

// Whether each detection of one class, best score first, is a true positive; those on objects that do not
// count are left out. A second detection of an object is a false positive: it does not move on to the next
// best object.
std::vector<bool> find_hits(const std::vector<ImageDetection>& detections, const DetectionDataset& truth,
                            double iou_threshold) {
  std::vector<bool> hits;
  std::set<const Annotation*> found;
  for (const auto& [image, box] : detections) {
    const Annotation* object = best_overlap(*box, truth.images[image], iou_threshold);
    if (!object)
      hits.push_back(false);
    else if (counts(*object))
      hits.push_back(found.insert(object).second);
  }
  return hits;
}

VocFigures::Class class_figures(const std::vector<bool>& hits, int64_t objects) {
  VocFigures::Class figures;
  figures.objects = objects;
  std::vector<double> precision;
  std::vector<int64_t> found;
  for (const bool hit : hits) {
    figures.true_positives += hit;
    found.push_back(figures.true_positives);
    precision.push_back(double(figures.true_positives) / double(precision.size() + 1));
  }
  if (objects == 0) return figures;
  // Interpolated: the best precision at this recall or beyond.
  for (size_t i = precision.size(); i-- > 1;) precision[i - 1] = std::max(precision[i - 1], precision[i]);

  double area = 0;
  for (size_t i = 0; i < hits.size(); ++i) area += hits[i] ? precision[i] : 0;
  figures.ap = area / double(objects);

  double sum = 0;
  for (int64_t tenths = 0; tenths <= 10; ++tenths) {
    // recall >= tenths / 10 in whole numbers: 9 of 15 objects reach 0.6, which rounding would miss.
    const auto reached =
        std::find_if(found.begin(), found.end(), [&](int64_t n) { return 10 * n >= tenths * objects; });
    if (reached != found.end()) sum += precision[size_t(reached - found.begin())];
  }
  figures.ap_11_points = sum / 11;
  return figures;
}

// The detections of each class, best score first, equal scores in the order of the images.
std::vector<std::vector<ImageDetection>> detections_by_class(const DetectionDataset& truth,
                                                             const DatasetDetections& detections) {
  std::vector<std::vector<ImageDetection>> classes(truth.class_names.size());
  for (size_t i = 0; i < detections.size(); ++i)
    for (const ScoredBox& box : detections[i]) classes[size_t(box.label)].push_back({i, &box});
  for (auto& one : classes)
    std::stable_sort(one.begin(), one.end(), [](const ImageDetection& a, const ImageDetection& b) {
      return a.box->score > b.box->score;
    });
  return classes;
}

std::vector<int64_t> objects_by_class(const DetectionDataset& truth) {
  std::vector<int64_t> objects(truth.class_names.size());
  for (const LabelledImage& image : truth.images)
    for (const Annotation& object : image.annotations) objects[size_t(object.label)] += counts(object);
  return objects;
}

}  // namespace

VocFigures evaluate_voc(const DetectionDataset& truth, const DatasetDetections& detections,
                        double iou_threshold) {
  require(iou_threshold > 0 && iou_threshold <= 1,
          "[evaluate_voc] iou_threshold is {}: give a number above 0 and at most 1 (0.5 is VOC's)",
          iou_threshold);
  check_detections(truth, detections);
  const auto by_class = detections_by_class(truth, detections);
  const auto objects = objects_by_class(truth);
  VocFigures figures;
  double sum = 0, sum_11_points = 0;
  int64_t measured = 0;
  for (size_t c = 0; c < by_class.size(); ++c) {
    figures.classes.push_back(class_figures(find_hits(by_class[c], truth, iou_threshold), objects[c]));
    if (objects[c] == 0) continue;
    ++measured;
    sum += figures.classes.back().ap;
    sum_11_points += figures.classes.back().ap_11_points;
  }
  if (measured > 0) {
    figures.mean_ap = sum / double(measured);
    figures.mean_ap_11_points = sum_11_points / double(measured);
  }
  return figures;
}

}  // namespace fovea
