// Exercise 37: non-maximum suppression
#pragma once
#include <algorithm>
#include <numeric>
#include <vector>

// Detections of one class. In the order of their scores, best first, each one is kept unless it overlaps one
// that was kept with an IoU above `threshold`. Return the indices of those that are kept, in that order; of
// equal scores the lower index comes first. Boxes without an area overlap nothing.
struct Box {
  double y0, x0, y1, x1;
};
inline std::vector<int> non_maximum_suppression(const std::vector<Box>& boxes,
                                                const std::vector<double>& scores, double threshold) {
  std::vector<int> order(boxes.size()), kept;
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](int a, int b) { return scores[std::size_t(a)] > scores[std::size_t(b)]; });
  const auto iou = [](const Box& a, const Box& b) {
    const double height = std::min(a.y1, b.y1) - std::max(a.y0, b.y0),
                 width = std::min(a.x1, b.x1) - std::max(a.x0, b.x0);
    if (height <= 0 || width <= 0) return 0.0;
    const double common = height * width;
    return common / ((a.y1 - a.y0) * (a.x1 - a.x0) + (b.y1 - b.y0) * (b.x1 - b.x0) - common);
  };
  for (int i : order)
    if (std::none_of(kept.begin(), kept.end(),
                     [&](int k) { return iou(boxes[std::size_t(k)], boxes[std::size_t(i)]) > threshold; }))
      kept.push_back(i);
  return kept;
}
