// Follows pycocotools/cocoeval.py step by step; if a rule looks odd, it is that program's. Compiled with
// -ffp-contract=off: CMakeLists.txt gives the reason.
#include "train/evaluation/coco_evaluation.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <span>

#include "core/error.h"
#include "train/evaluation/check.h"

namespace fovea {
namespace {

constexpr size_t num_thresholds = 10, num_recalls = 101;
// Detections of one class in one image that count for the first two recalls; the caller gives the third.
constexpr std::array<size_t, 2> small_recall_limits{1, 10};
constexpr size_t recall_limits = 3;

// Both ends belong to the range, as in pycocotools: an object of exactly 32^2 is small and medium.
struct AreaRange {
  double low, high;
  bool holds(double area) const { return area >= low && area <= high; }
};
constexpr std::array<AreaRange, 4> area_ranges{{{0, 1e10}, {0, 1024}, {1024, 9216}, {9216, 1e10}}};
enum Area : size_t { all, small, medium, large };

// numpy.linspace(0.5, 0.95, 10)[i] to the bit: the ninth is 0.8999999999999999, one bit below 0.9.
double iou_threshold(size_t i) { return double(i) * ((0.95 - 0.5) / 9) + 0.5; }

// The objects and detections of one class in one image.
struct ImageObjects {
  size_t image;
  std::vector<const Annotation*> truths;
  std::vector<const ScoredBox*> detections;
};

enum class Verdict : uint8_t { true_positive, false_positive, ignored };

struct JudgedDetection {
  double score;
  size_t rank;  // place among the detections of its class in its image, by score
  std::array<Verdict, num_thresholds> verdicts;
};

// The detections of one class in one area range, image after image.
struct Judgement {
  std::vector<JudgedDetection> detections;
  int64_t objects = 0;  // ground truth to be found
};

// Every figure of one class in one area range; used only where there are objects.
struct Curves {
  int64_t objects = 0;
  std::array<std::array<double, num_recalls>, num_thresholds> precision{};
  std::array<std::array<double, num_thresholds>, recall_limits> recall{};
};
using ClassCurves = std::array<Curves, area_ranges.size()>;

// maskApi.c, bbIou. A crowd region covers many objects, so a detection is measured by its part inside the
// region.
double iou(const ScoredBox& detection, const Annotation& truth) {
  const double width =
      std::min(detection.width + detection.x, truth.width + truth.x) - std::max(detection.x, truth.x);
  const double height =
      std::min(detection.height + detection.y, truth.height + truth.y) - std::max(detection.y, truth.y);
  if (width <= 0 || height <= 0) return 0;
  const double intersection = width * height, area = detection.width * detection.height;
  return intersection / (truth.crowd ? area : area + truth.width * truth.height - intersection);
}

// One row for each detection, one column for each truth.
std::vector<std::vector<double>> iou_table(const ImageObjects& objects) {
  std::vector<std::vector<double>> table;
  for (const ScoredBox* detection : objects.detections) {
    std::vector<double>& row = table.emplace_back();
    for (const Annotation* truth : objects.truths) row.push_back(iou(*detection, *truth));
  }
  return table;
}

// The truths of an image for one area range: first those that count, then the ignored ones.
struct Candidates {
  std::vector<size_t> order;
  size_t counted;  // order[0 .. counted) count
};

Candidates candidates(const std::vector<const Annotation*>& truths, const AreaRange& range) {
  Candidates result;
  result.order.resize(truths.size());
  std::iota(result.order.begin(), result.order.end(), size_t(0));
  const auto counts = [&](size_t i) { return !truths[i]->crowd && range.holds(truths[i]->area); };
  const auto end = std::stable_partition(result.order.begin(), result.order.end(), counts);
  result.counted = size_t(end - result.order.begin());
  return result;
}

// The place in candidates.order of the truth that a detection matches, or none: the free one of highest IoU,
// the last of equals; an ignored one only if none that counts reaches the threshold. A crowd is never used
// up.
constexpr size_t none = std::numeric_limits<size_t>::max();

size_t best_match(const std::vector<double>& ious, const std::vector<const Annotation*>& truths,
                  const Candidates& candidates, const std::vector<bool>& taken, double threshold) {
  double best = threshold;
  size_t match = none;
  for (size_t i = 0; i < candidates.order.size(); ++i) {
    const size_t truth = candidates.order[i];
    if (taken[i] && !truths[truth]->crowd) continue;
    if (i >= candidates.counted && match < candidates.counted) break;
    if (ious[truth] < best) continue;
    best = ious[truth];
    match = i;
  }
  return match;
}

// cocoeval.evaluateImg: adds the image's detections, best score first, to the judgement.
void judge_image(const ImageObjects& objects, const std::vector<std::vector<double>>& ious,
                 const AreaRange& range, Judgement& judgement) {
  const Candidates truths = candidates(objects.truths, range);
  const size_t first = judgement.detections.size();
  judgement.objects += int64_t(truths.counted);
  for (size_t d = 0; d < objects.detections.size(); ++d)
    judgement.detections.push_back({objects.detections[d]->score, d, {}});

  for (size_t t = 0; t < num_thresholds; ++t) {
    std::vector<bool> taken(truths.order.size());
    for (size_t d = 0; d < objects.detections.size(); ++d) {
      const ScoredBox& detection = *objects.detections[d];
      Verdict& verdict = judgement.detections[first + d].verdicts[t];
      const size_t match = best_match(ious[d], objects.truths, truths, taken, iou_threshold(t));
      if (match == none) {
        verdict =
            range.holds(detection.width * detection.height) ? Verdict::false_positive : Verdict::ignored;
      } else {
        verdict = match < truths.counted ? Verdict::true_positive : Verdict::ignored;
        taken[match] = true;
      }
    }
  }
}

// The precision at recall 0, 0.01, ... 1 of detections sorted by score: the best precision at that recall or
// beyond.
std::array<double, num_recalls> precision_curve(const Judgement& judgement, size_t threshold) {
  std::vector<double> recall, precision;
  int64_t hits = 0, misses = 0;
  for (const JudgedDetection& detection : judgement.detections) {
    hits += detection.verdicts[threshold] == Verdict::true_positive;
    misses += detection.verdicts[threshold] == Verdict::false_positive;
    recall.push_back(double(hits) / double(judgement.objects));
    // pycocotools' epsilon, numpy.spacing(1): ignored detections may come first, which would give 0 / 0.
    precision.push_back(double(hits) / (double(misses + hits) + std::numeric_limits<double>::epsilon()));
  }
  for (size_t i = precision.size(); i-- > 1;) precision[i - 1] = std::max(precision[i - 1], precision[i]);

  std::array<double, num_recalls> curve{};
  for (size_t r = 0; r < num_recalls; ++r) {
    const auto reached =
        std::lower_bound(recall.begin(), recall.end(), double(r) * 0.01);  // numpy.linspace(0, 1, 101)
    if (reached == recall.end()) break;
    curve[r] = precision[size_t(reached - recall.begin())];
  }
  return curve;
}

double recall_within(const Judgement& judgement, size_t threshold, size_t limit) {
  const auto hits =
      std::count_if(judgement.detections.begin(), judgement.detections.end(), [&](const auto& detection) {
        return detection.rank < limit && detection.verdicts[threshold] == Verdict::true_positive;
      });
  return double(hits) / double(judgement.objects);
}

// cocoeval.accumulate. Sorts the detections of all images by score, equal scores by image and rank.
Curves accumulate(Judgement& judgement, size_t most) {
  Curves curves;
  curves.objects = judgement.objects;
  if (judgement.objects == 0) return curves;
  std::stable_sort(judgement.detections.begin(), judgement.detections.end(),
                   [](const JudgedDetection& a, const JudgedDetection& b) { return a.score > b.score; });
  for (size_t t = 0; t < num_thresholds; ++t) {
    curves.precision[t] = precision_curve(judgement, t);
    for (size_t m = 0; m < recall_limits; ++m)
      curves.recall[m][t] = recall_within(judgement, t, m < 2 ? small_recall_limits[m] : most);
  }
  return curves;
}

ClassCurves evaluate_class(std::vector<ImageObjects>& images, size_t most) {
  std::array<Judgement, area_ranges.size()> judgements;
  for (ImageObjects& objects : images) {
    std::stable_sort(objects.detections.begin(), objects.detections.end(),
                     [](const ScoredBox* a, const ScoredBox* b) { return a->score > b->score; });
    objects.detections.resize(std::min(objects.detections.size(), most));
    const auto ious = iou_table(objects);
    for (size_t a = 0; a < area_ranges.size(); ++a) judge_image(objects, ious, area_ranges[a], judgements[a]);
  }
  ClassCurves curves;
  for (size_t a = 0; a < area_ranges.size(); ++a) curves[a] = accumulate(judgements[a], most);
  return curves;
}

// For each class the images that hold a truth or a detection of it, in the order of the image ids:
// pycocotools' order, which decides between equal scores.
std::vector<std::vector<ImageObjects>> objects_by_class(const DetectionDataset& truth,
                                                        const DatasetDetections& detections) {
  std::vector<size_t> order(truth.images.size());
  std::iota(order.begin(), order.end(), size_t(0));
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return truth.images[a].id < truth.images[b].id; });

  std::vector<std::vector<ImageObjects>> classes(truth.class_names.size());
  for (const size_t image : order) {
    const auto of_class = [&](int label) -> ImageObjects& {
      auto& images = classes[size_t(label)];
      if (images.empty() || images.back().image != image) images.push_back({image, {}, {}});
      return images.back();
    };
    for (const Annotation& object : truth.images[image].annotations)
      of_class(object.label).truths.push_back(&object);
    for (const ScoredBox& box : detections[image]) of_class(box.label).detections.push_back(&box);
  }
  return classes;
}

// The mean of the numbers added; -1, pycocotools' "there is nothing to measure", if there were none.
class Mean {
 public:
  template <class Numbers>
  void add(const Numbers& numbers) {
    for (const double number : numbers) sum_ += number, ++count_;
  }
  double value() const { return count_ ? sum_ / double(count_) : -1; }

 private:
  double sum_ = 0;
  int64_t count_ = 0;
};

double mean_precision(std::span<const ClassCurves> classes, Area area) {
  Mean mean;
  for (const ClassCurves& curves : classes)
    if (curves[area].objects)
      for (const auto& curve : curves[area].precision) mean.add(curve);
  return mean.value();
}

double mean_precision_at(std::span<const ClassCurves> classes, size_t threshold) {
  Mean mean;
  for (const ClassCurves& curves : classes)
    if (curves[all].objects) mean.add(curves[all].precision[threshold]);
  return mean.value();
}

// `limit` is an index into recall_limits.
double mean_recall(std::span<const ClassCurves> classes, Area area, size_t limit) {
  Mean mean;
  for (const ClassCurves& curves : classes)
    if (curves[area].objects) mean.add(curves[area].recall[limit]);
  return mean.value();
}

ClassFigures class_figures(const ClassCurves& curves) {
  const std::span one(&curves, 1);
  ClassFigures figures;
  figures.ap = mean_precision(one, all);
  figures.ap50 = mean_precision_at(one, 0);
  figures.ap75 = mean_precision_at(one, 5);
  figures.ar100 = mean_recall(one, all, 2);
  for (const Area size : {small, medium, large}) {
    figures.ap_by_size[size - small] = mean_precision(one, size);
    figures.objects_by_size[size - small] = curves[size].objects;
  }
  if (curves[all].objects)
    figures.precision50.assign(curves[all].precision[0].begin(), curves[all].precision[0].end());
  return figures;
}

}  // namespace

ScoredBox scored_box(const Detection& detection) {
  const Box& box = detection.box;
  return {box.xmin,        box.ymin,       double(box.xmax) - box.xmin, double(box.ymax) - box.ymin,
          detection.score, detection.label};
}

DatasetDetections scored_boxes(const std::vector<std::vector<Detection>>& detections) {
  DatasetDetections result;
  for (const auto& image : detections) {
    result.emplace_back();
    for (const Detection& detection : image) result.back().push_back(scored_box(detection));
  }
  return result;
}

CocoFigures evaluate_coco(const DetectionDataset& truth, const DatasetDetections& detections,
                          int64_t max_detections) {
  check_detections(truth, detections);
  const int64_t most = std::max<int64_t>(100, max_detections);
  auto objects = objects_by_class(truth, detections);
  std::vector<ClassCurves> classes(objects.size());
#pragma omp parallel for schedule(dynamic)
  for (size_t c = 0; c < classes.size(); ++c) classes[c] = evaluate_class(objects[c], size_t(most));

  CocoFigures figures;
  figures.max_detections = most;
  figures.ap = mean_precision(classes, all);
  figures.ap50 = mean_precision_at(classes, 0);
  figures.ap75 = mean_precision_at(classes, 5);
  figures.ap_small = mean_precision(classes, small);
  figures.ap_medium = mean_precision(classes, medium);
  figures.ap_large = mean_precision(classes, large);
  figures.ar1 = mean_recall(classes, all, 0);
  figures.ar10 = mean_recall(classes, all, 1);
  figures.ar100 = mean_recall(classes, all, 2);
  figures.ar_small = mean_recall(classes, small, 2);
  figures.ar_medium = mean_recall(classes, medium, 2);
  figures.ar_large = mean_recall(classes, large, 2);
  for (const ClassCurves& curves : classes) figures.classes.push_back(class_figures(curves));
  for (const LabelledImage& image : truth.images)
    for (const Annotation& object : image.annotations)
      figures.classes[size_t(object.label)].objects += !object.crowd;
  return figures;
}

CocoFigures evaluate_coco(const std::vector<std::vector<LabelledBox>>& truths,
                          const std::vector<std::vector<Detection>>& detections, int classes) {
  require(classes >= 1, "[evaluation] `classes` is {}: give 1 or more", classes);
  DetectionDataset dataset;
  dataset.name = "the truth";  // in messages of check_detections
  dataset.class_names.resize(size_t(classes));
  for (size_t i = 0; i < truths.size(); ++i) {
    LabelledImage image{.file = fmt::format("truths[{}]", i), .id = int64_t(i)};
    for (const LabelledBox& object : truths[i]) {
      const ScoredBox box = scored_box({object.box});
      require(std::isfinite(box.x) && std::isfinite(box.y) && std::isfinite(box.width) &&
                  std::isfinite(box.height) && box.width > 0 && box.height > 0,
              "[evaluation] annotation {} of image {} begins at x {}, y {} and is {} wide and {} high: give "
              "finite boxes with xmin < xmax and ymin < ymax",
              image.annotations.size(), i, box.x, box.y, box.width, box.height);
      image.annotations.push_back(
          {box.x, box.y, box.width, box.height, box.width * box.height, object.label, object.crowd});
    }
    dataset.images.push_back(std::move(image));
  }
  return evaluate_coco(dataset, scored_boxes(detections));
}

}  // namespace fovea
