#include "train/evaluation/check.h"

#include <algorithm>
#include <cmath>

#include "core/error.h"

namespace fovea {
namespace {

void check_label(int label, const DetectionDataset& truth, const char* what, size_t entry,
                 const LabelledImage& image) {
  require(
      label >= 0 && size_t(label) < truth.class_names.size(),
      "[evaluation] {} {} of image {} ({}) has label {}, but {} has {} classes: labels are indices from 0",
      what, entry, image.id, image.file, label, truth.name, truth.class_names.size());
}

void check_number(double value, const char* field, size_t entry, const LabelledImage& image) {
  require(
      std::isfinite(value),
      "[evaluation] detection {} of image {} ({}) has {} {}: give only detections whose numbers are finite",
      entry, image.id, image.file, field, value);
}

}  // namespace

void check_detections(const DetectionDataset& truth, const DatasetDetections& detections) {
  require(detections.size() == truth.images.size(),
          "[evaluation] {} has {} images, but there are {} lists of detections: give one for each image, "
          "empty if nothing was found",
          truth.name, truth.images.size(), detections.size());
  for (size_t i = 0; i < detections.size(); ++i) {
    const LabelledImage& image = truth.images[i];
    for (size_t k = 0; k < image.annotations.size(); ++k)
      check_label(image.annotations[k].label, truth, "annotation", k, image);
    for (size_t k = 0; k < detections[i].size(); ++k) {
      const ScoredBox& box = detections[i][k];
      check_label(box.label, truth, "detection", k, image);
      check_number(box.x, "x", k, image);
      check_number(box.y, "y", k, image);
      check_number(box.width, "width", k, image);
      check_number(box.height, "height", k, image);
      check_number(box.score, "score", k, image);
    }
  }
}

std::string too_many_objects(const DetectionDataset& truth, int64_t max_detections) {
  int64_t images = 0, most = 0;
  std::string file;
  for (const LabelledImage& image : truth.images) {
    const int64_t objects = std::count_if(image.annotations.begin(), image.annotations.end(),
                                          [](const Annotation& a) { return !a.crowd; });
    images += objects > max_detections;
    if (objects > most) most = objects, file = image.file;
  }
  if (images == 0) return "";
  return fmt::format(
      "{} has {} image{} with more objects than the {} that may be found in one, {} with {}: give "
      "`max_detections` {} or more",
      truth.name, images, images == 1 ? "" : "s", max_detections, file, most, most);
}

}  // namespace fovea
