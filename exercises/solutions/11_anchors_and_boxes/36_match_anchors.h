// Exercise 36: which anchor learns which object
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
  for (std::size_t a = 0; a < iou.size(); ++a) {
    const auto best = std::max_element(iou[a].begin(), iou[a].end());  // the first of equals
    if (best != iou[a].end() && *best >= threshold) matched[a] = int(best - iou[a].begin());
  }
  std::vector<bool> forced(iou.size());
  for (std::size_t t = 0; t < objects; ++t) {
    std::size_t best = 0;
    for (std::size_t a = 1; a < iou.size(); ++a)
      if (iou[a][t] > iou[best][t]) best = a;
    if (iou[best][t] == 0 || forced[best]) continue;
    forced[best] = true;
    matched[best] = int(t);
  }
  return matched;
}
