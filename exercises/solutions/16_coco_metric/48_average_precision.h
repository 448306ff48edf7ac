// Exercise 48: the area under precision and recall
#pragma once
#include <algorithm>
#include <cstdint>
#include <vector>

// `is_match` says of each detection of a class, over all images and sorted by score, best first, whether it
// got an object; `objects` is how many there were to find, at least 1.
//   after detection i: recall_i = matches so far / objects, precision_i = matches so far / (i + 1)
//   made monotone:     precision_i = max over j >= i of precision_j
//   at recall r = 0, 0.01, ..., 1: the precision at the first i with recall_i >= r, or 0 where there is none
// The result is the mean over the 101 points.
inline double average_precision(const std::vector<bool>& is_match, int64_t objects) {
  std::vector<double> recall, precision;
  int64_t matches = 0;
  for (bool match : is_match) {
    matches += match;
    recall.push_back(double(matches) / double(objects));
    precision.push_back(double(matches) / double(recall.size()));
  }
  // From the back: the best precision that is still to come at this recall or a higher one.
  for (std::size_t i = precision.size(); i-- > 1;)
    precision[i - 1] = std::max(precision[i - 1], precision[i]);
  double sum = 0;
  for (int point = 0; point <= 100; ++point) {
    // Recalls grow, so a binary search finds the first that reaches the point.
    const auto at = std::lower_bound(recall.begin(), recall.end(), point / 100.0);
    if (at != recall.end()) sum += precision[std::size_t(at - recall.begin())];
  }
  return sum / 101;
}
