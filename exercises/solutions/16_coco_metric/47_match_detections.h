// Exercise 47: which detections are right
#pragma once
#include <cstdint>
#include <vector>

// `iou[d][t]` is the overlap of detection d with object t; detections are sorted by score, best first. Each
// detection in its turn takes the object that it overlaps most, among those that no earlier detection has
// taken, if that IoU is at least `threshold`; of equal IoUs the last object, as pycocotools does. Return for
// each detection the object it got, or -1: a false positive.
inline std::vector<int> match_detections(const std::vector<std::vector<double>>& iou, double threshold) {
  std::vector<int> matched(iou.size(), -1);
  std::vector<bool> taken(iou.empty() ? 0 : iou[0].size());
  for (std::size_t d = 0; d < iou.size(); ++d) {
    double best = threshold;
    for (std::size_t t = 0; t < taken.size(); ++t) {
      if (taken[t] || iou[d][t] < best) continue;
      best = iou[d][t];
      matched[d] = int(t);
    }
    if (matched[d] >= 0) taken[std::size_t(matched[d])] = true;
  }
  return matched;
}
