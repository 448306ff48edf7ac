// Exercise 36: which anchor learns which object
//
// Goal:      Assign the objects of an image to anchors.
// Builds on: 34
// Minutes:   30
// Source:    arXiv 1708.02002, section 4; train/detection/matching.h
#pragma once
#include <algorithm>
#include <vector>

// iou[a][t] is the overlap of anchor a with object t. Return for each anchor the object it shall learn, or -1
// for background:
//   1. An anchor takes the object that it overlaps most, the first of equals, if the IoU is at least
//      `threshold`.
//   2. Then each object, in order, takes the anchor that overlaps it most, the first of equals, whatever
//      step 1 gave that anchor, unless the best IoU is 0 or an earlier object took that anchor in this step.
// Without step 2 an object that fits no anchor well would never be learned.
inline std::vector<int> match_anchors(const std::vector<std::vector<double>>& iou, double threshold) {
  std::vector<int> matched(iou.size(), -1);
  const std::size_t objects = iou.empty() ? 0 : iou[0].size();
  // ---- your code: 12 to 15 lines ----
  (void)objects, (void)threshold;
  // ---- end ----
  return matched;
}
