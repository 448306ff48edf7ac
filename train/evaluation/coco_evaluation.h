#pragma once
#include <array>
#include <string>
#include <vector>

#include "models/box.h"
#include "train/data/dataset.h"

namespace fovea {

// A detection as in COCO's results files: left, top, width, height in pixels of the image, in double.
struct ScoredBox {
  double x = 0, y = 0, width = 0, height = 0;
  double score = 0;
  int label = 0;  // index into DetectionDataset::class_names

  bool operator==(const ScoredBox&) const = default;
};

ScoredBox scored_box(const Detection& detection);  // corner and size instead of edges

// The detections of a data set: one list for each of its images, in the same order.
using DatasetDetections = std::vector<std::vector<ScoredBox>>;

DatasetDetections scored_boxes(const std::vector<std::vector<Detection>>& detections);  // each scored_box()

// The COCO figures of one class, from 0 to 1.
struct ClassFigures {
  double ap = -1, ap50 = -1, ap75 = -1, ar100 = -1;  // -1: the class has no object to find
  std::vector<double> precision50;  // at IoU 0.50, for recall 0, 0.01, ... 1: the PR curve; empty as above
  int64_t objects = 0;              // truths that are not crowds
  // Small, medium and large, as in CocoFigures. An object exactly between two sizes belongs to both.
  std::array<double, 3> ap_by_size{-1, -1, -1};
  std::array<int64_t, 3> objects_by_size{};
};

// The 12 figures of the COCO challenge in its order (pycocotools COCOeval, iouType bbox), and those of each
// class.
struct CocoFigures {
  double ap = -1, ap50 = -1, ap75 = -1, ap_small = -1, ap_medium = -1, ap_large = -1;
  double ar1 = -1, ar10 = -1, ar100 = -1, ar_small = -1, ar_medium = -1, ar_large = -1;
  std::vector<ClassFigures> classes;
  int64_t max_detections = 100;  // of a class in an image, which were counted for all but ar1 and ar10

  std::array<double, 12> values() const;              // in the order of names()
  static const std::array<const char*, 12>& names();  // "AP", "AP50", "AP75", "AP_small", ... "AR_large"
};

// Evaluates as pycocotools does, with equal results except for the rounding of the means: IoU thresholds
// 0.50:0.05:0.95; areas all, small up to 32^2, medium up to 96^2, large beyond, by the annotation's area
// field and width * height of detections; the best 1 / 10 / 100 detections of each class in an image, and if
// `max_detections` is more than 100, this many instead of 100 (params.maxDets = [1, 10, most]); crowd regions
// absorb detections. Equal scores count in the order of the image ids, then of the list. The figures do not
// depend on the number of threads. Throws Error if detections.size() is not the number of images, a score or
// coordinate is not finite, or a label has no class.
CocoFigures evaluate_coco(const DetectionDataset& truth, const DatasetDetections& detections,
                          int64_t max_detections = 100);

// An object, given by the edges of its box.
struct LabelledBox {
  Box box;
  int label = 0;
  bool crowd = false;  // a region of several objects, as COCO's iscrowd
};

// The same from plain boxes in pixels, a list of truths and one of detections for each image; the area of an
// object is that of its box. Labels are below `classes`. Throws Error in the same cases, and if a truth's
// size is not positive and finite.
CocoFigures evaluate_coco(const std::vector<std::vector<LabelledBox>>& truths,
                          const std::vector<std::vector<Detection>>& detections, int classes);

// The table that pycocotools prints, to the letter: twelve lines
// " Average Precision  (AP) @[ IoU=0.50:0.95 | area=   all | maxDets=100 ] = 0.505".
std::string coco_table(const CocoFigures& figures);
// A line of headings and one line per class: name, objects, AP, AP50, AP75, AR100; - if the class has no
// object. Throws Error if there is not one name for each class.
std::string class_table(const CocoFigures& figures, const std::vector<std::string>& class_names);

}  // namespace fovea
