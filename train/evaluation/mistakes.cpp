#include "train/evaluation/mistakes.h"

#include <algorithm>
#include <functional>
#include <limits>
#include <numeric>
#include <utility>

#include "core/error.h"
#include "train/evaluation/check.h"

namespace fovea {
namespace {

constexpr double enough_overlap = 0.5, some_overlap = 0.1;

double intersection(const ScoredBox& a, const Annotation& b) {
  const double width = std::min(a.x + a.width, b.x + b.width) - std::max(a.x, b.x);
  const double height = std::min(a.y + a.height, b.y + b.height) - std::max(a.y, b.y);
  return width > 0 && height > 0 ? width * height : 0;
}

double iou(const ScoredBox& a, const Annotation& b) {
  const double common = intersection(a, b);
  return common > 0 ? common / (a.width * a.height + b.width * b.height - common) : 0;
}

bool in_crowd(const ScoredBox& box, const std::vector<Annotation>& truths) {
  return std::any_of(truths.begin(), truths.end(), [&](const Annotation& t) {
    return t.crowd && t.label == box.label &&
           intersection(box, t) >= enough_overlap * box.width * box.height && intersection(box, t) > 0;
  });
}

// The object that the box overlaps most, among those that `allowed` accepts; -1: none with at least
// `threshold`.
template <class Allowed>
int best_truth(const ScoredBox& box, const std::vector<Annotation>& truths, double threshold,
               const Allowed& allowed) {
  int best = -1;
  double best_iou = 0;
  for (size_t t = 0; t < truths.size(); ++t) {
    if (truths[t].crowd || !allowed(t)) continue;
    const double overlap = iou(box, truths[t]);
    if (overlap >= threshold && overlap > best_iou) best = int(t), best_iou = overlap;
  }
  return best;
}

std::vector<size_t> by_score(const std::vector<ScoredBox>& boxes) {
  std::vector<size_t> order(boxes.size());
  std::iota(order.begin(), order.end(), size_t(0));
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return boxes[a].score > boxes[b].score; });
  return order;
}

ImageMistakes judge(const std::vector<Annotation>& truths, const std::vector<ScoredBox>& boxes,
                    double score_threshold) {
  ImageMistakes result;
  std::vector<char> taken(truths.size());
  for (const size_t d : by_score(boxes)) {
    const ScoredBox& box = boxes[d];
    if (box.score < score_threshold) break;
    const int truth = best_truth(box, truths, enough_overlap,
                                 [&](size_t t) { return !taken[t] && truths[t].label == box.label; });
    if (truth >= 0) taken[size_t(truth)] = true;
    const Outcome outcome = truth >= 0              ? Outcome::right
                            : in_crowd(box, truths) ? Outcome::ignored
                                                    : Outcome::nothing_there;
    result.detections.push_back({d, outcome, truth});
  }
  for (JudgedDetection& judged : result.detections) {
    if (judged.outcome != Outcome::nothing_there) continue;
    const ScoredBox& box = boxes[judged.detection];
    const auto own = [&](size_t t) { return truths[t].label == box.label; };
    judged.truth = best_truth(box, truths, enough_overlap, [&](size_t t) { return !taken[t] && !own(t); });
    if (judged.truth >= 0) {
      judged.outcome = Outcome::wrong_class;
      taken[size_t(judged.truth)] = true;
      continue;
    }
    judged.truth = best_truth(box, truths, some_overlap, own);
    if (judged.truth < 0) continue;
    judged.outcome =
        iou(box, truths[size_t(judged.truth)]) >= enough_overlap ? Outcome::again : Outcome::inexact;
  }
  for (size_t t = 0; t < truths.size(); ++t)
    if (!taken[t] && !truths[t].crowd) result.missed.push_back(t);
  return result;
}

double ratio(int64_t part, int64_t whole) { return whole > 0 ? double(part) / double(whole) : 0; }

int64_t objects_in(const DetectionDataset& truth) {
  int64_t objects = 0;
  for (const LabelledImage& image : truth.images)
    objects += std::count_if(image.annotations.begin(), image.annotations.end(),
                             [](const Annotation& a) { return !a.crowd; });
  return objects;
}

// "4 missed (3 cat, dog)": equal items are counted, the most frequent first; "..." after four different ones.
void append_kind(std::string& text, const char* kind, const std::vector<std::string>& items) {
  constexpr size_t named = 4;
  if (items.empty()) return;
  std::vector<std::pair<size_t, std::string>> groups;
  for (const std::string& item : items) {
    const auto same =
        std::find_if(groups.begin(), groups.end(), [&](const auto& g) { return g.second == item; });
    if (same == groups.end())
      groups.emplace_back(1, item);
    else
      ++same->first;
  }
  std::stable_sort(groups.begin(), groups.end(),
                   [](const auto& a, const auto& b) { return a.first > b.first; });
  std::vector<std::string> shown;
  for (size_t i = 0; i < std::min(groups.size(), named); ++i)
    shown.push_back(groups[i].first > 1 ? fmt::format("{} {}", groups[i].first, groups[i].second)
                                        : groups[i].second);
  if (groups.size() > named) shown.push_back("...");
  text += fmt::format("{}{} {} ({})", text.empty() ? "" : "; ", items.size(), kind, fmt::join(shown, ", "));
}

}  // namespace

int64_t ImageMistakes::count(Outcome outcome) const {
  return std::count_if(detections.begin(), detections.end(),
                       [&](const JudgedDetection& d) { return d.outcome == outcome; });
}

int64_t ImageMistakes::false_alarms() const {
  return count(Outcome::again) + count(Outcome::inexact) + count(Outcome::nothing_there);
}

int64_t Mistakes::count(Outcome outcome) const {
  int64_t sum = 0;
  for (const ImageMistakes& image : images) sum += image.count(outcome);
  return sum;
}

int64_t Mistakes::missed() const {
  int64_t sum = 0;
  for (const ImageMistakes& image : images) sum += int64_t(image.missed.size());
  return sum;
}

int64_t Mistakes::false_alarms() const {
  int64_t sum = 0;
  for (const ImageMistakes& image : images) sum += image.false_alarms();
  return sum;
}

double Mistakes::precision() const {
  const int64_t right = count(Outcome::right);
  return ratio(right, right + count(Outcome::wrong_class) + false_alarms());
}

double Mistakes::recall() const { return ratio(count(Outcome::right), objects); }

double Mistakes::f1() const {
  const int64_t right = count(Outcome::right);
  return ratio(2 * right, right + count(Outcome::wrong_class) + false_alarms() + objects);
}

Mistakes find_mistakes(const DetectionDataset& truth, const DatasetDetections& detections,
                       double score_threshold) {
  check_detections(truth, detections);
  const size_t classes = truth.class_names.size();
  std::vector<std::string> rows = truth.class_names, columns = truth.class_names;
  rows.push_back("nothing there");
  columns.push_back("missed");
  Mistakes result{score_threshold, objects_in(truth), {}, ConfusionMatrix(rows, columns)};
  for (size_t i = 0; i < truth.images.size(); ++i) {
    const std::vector<Annotation>& truths = truth.images[i].annotations;
    const ImageMistakes& image = result.images.emplace_back(judge(truths, detections[i], score_threshold));
    for (const JudgedDetection& judged : image.detections) {
      if (judged.outcome == Outcome::ignored) continue;
      const bool on_object = judged.outcome == Outcome::right || judged.outcome == Outcome::wrong_class;
      const size_t row = on_object ? size_t(truths[size_t(judged.truth)].label) : classes;
      ++result.confusion.at(row, size_t(detections[i][judged.detection].label));
    }
    for (const size_t t : image.missed) ++result.confusion.at(size_t(truths[t].label), classes);
  }
  return result;
}

double best_score_threshold(const DetectionDataset& truth, const DatasetDetections& detections) {
  // Leaving out worse detections does not change the matches of the others, so one matching serves every
  // threshold.
  const Mistakes all = find_mistakes(truth, detections, -std::numeric_limits<double>::infinity());
  std::vector<std::pair<double, bool>> judged;  // score, right
  for (size_t i = 0; i < all.images.size(); ++i)
    for (const JudgedDetection& d : all.images[i].detections)
      if (d.outcome != Outcome::ignored)
        judged.emplace_back(detections[i][d.detection].score, d.outcome == Outcome::right);
  std::sort(judged.begin(), judged.end(), std::greater<>());
  double threshold = 0.5, best = 0;
  int64_t right = 0;
  for (size_t n = 0; n < judged.size(); ++n) {
    right += judged[n].second;
    if (n + 1 < judged.size() && judged[n + 1].first == judged[n].first) continue;
    const double f1 = ratio(2 * right, int64_t(n) + 1 + all.objects);
    if (f1 > best) best = f1, threshold = judged[n].first;
  }
  return threshold;
}

std::vector<size_t> worst_images(const Mistakes& mistakes, size_t most) {
  std::vector<size_t> order;
  for (size_t i = 0; i < mistakes.images.size(); ++i)
    if (mistakes.images[i].errors() > 0) order.push_back(i);
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return mistakes.images[a].errors() > mistakes.images[b].errors();
  });
  order.resize(std::min(order.size(), most));
  return order;
}

std::string explain(const ImageMistakes& mistakes, const LabelledImage& image,
                    const std::vector<ScoredBox>& detections, const std::vector<std::string>& class_names) {
  const auto truth_name = [&](size_t t) { return class_names[size_t(image.annotations[t].label)]; };
  std::vector<std::string> missed, wrong, false_alarms;
  for (const size_t t : mistakes.missed) missed.push_back(truth_name(t));
  for (const JudgedDetection& judged : mistakes.detections) {
    const std::string& name = class_names[size_t(detections[judged.detection].label)];
    if (judged.outcome == Outcome::wrong_class)
      wrong.push_back(fmt::format("{} taken for {}", truth_name(size_t(judged.truth)), name));
    if (judged.outcome == Outcome::again) false_alarms.push_back(name + " found again");
    if (judged.outcome == Outcome::inexact) false_alarms.push_back(name + " inexact");
    if (judged.outcome == Outcome::nothing_there) false_alarms.push_back(name + " where nothing is");
  }
  std::string text;
  append_kind(text, "missed", missed);
  append_kind(text, "of the wrong class", wrong);
  append_kind(text, false_alarms.size() == 1 ? "false alarm" : "false alarms", false_alarms);
  return text;
}

}  // namespace fovea
