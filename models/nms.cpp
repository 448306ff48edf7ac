// Compiled with -ffp-contract=off: CMakeLists.txt gives the reason.
#include "models/nms.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/error.h"

namespace fovea {
namespace {

void check(const char* op, std::span<const Box> boxes, std::span<const float> scores,
           std::span<const int32_t> labels, int max_detections) {
  require(scores.size() == boxes.size() && labels.size() == boxes.size(),
          "[{}] there are {} boxes, {} scores and {} labels: give one score and one label for each box", op,
          boxes.size(), scores.size(), labels.size());
  require(max_detections >= 1, "[{}] max_detections is {}: give at least 1", op, max_detections);
  for (size_t i = 0; i < scores.size(); ++i)
    require(!std::isnan(scores[i]),
            "[{}] the score of box {} is NaN: the outputs of the network are not numbers", op, i);
}

}  // namespace

float iou(const Box& a, const Box& b) {
  const float height = std::min(a.ymax, b.ymax) - std::max(a.ymin, b.ymin);
  const float width = std::min(a.xmax, b.xmax) - std::max(a.xmin, b.xmin);
  if (!(height > 0 && width > 0)) return 0;
  const float intersection = height * width;
  // Tiny sides may multiply to 0, which must not become 0 / 0.
  return intersection > 0 ? intersection / (a.area() + b.area() - intersection) : 0;
}

std::vector<KeptBox> nms(std::span<const Box> boxes, std::span<const float> scores,
                         std::span<const int32_t> labels, const NmsOptions& options) {
  check("nms", boxes, scores, labels, options.max_detections);
  require(options.iou_threshold >= 0 && options.iou_threshold <= 1,
          "[nms] iou_threshold is {}: give a number from 0 to 1", options.iou_threshold);
  std::vector<int> order;
  for (size_t i = 0; i < boxes.size(); ++i)
    if (scores[i] > options.score_threshold) order.push_back(int(i));
  std::stable_sort(order.begin(), order.end(), [&](int a, int b) { return scores[a] > scores[b]; });

  // Compares each candidate with the boxes kept so far: at most max_detections of them, so no table of all
  // pairs is needed.
  std::vector<KeptBox> kept;
  for (const int i : order) {
    const bool suppressed = std::any_of(kept.begin(), kept.end(), [&](const KeptBox& k) {
      return labels[k.index] == labels[i] && iou(boxes[k.index], boxes[i]) > options.iou_threshold;
    });
    if (suppressed) continue;
    kept.push_back({i, scores[i]});
    if (int(kept.size()) == options.max_detections) break;
  }
  return kept;
}

std::vector<KeptBox> soft_nms(std::span<const Box> boxes, std::span<const float> scores,
                              std::span<const int32_t> labels, const SoftNmsOptions& options) {
  check("soft_nms", boxes, scores, labels, options.max_detections);
  require(options.sigma > 0,
          "[soft_nms] sigma is {}: give a number greater than 0 (0.5 is the published one)", options.sigma);
  std::vector<KeptBox> alive, kept;  // alive stays in the order of the indices, which decides ties
  for (size_t i = 0; i < boxes.size(); ++i)
    if (scores[i] > options.score_threshold) alive.push_back({int(i), scores[i]});

  while (!alive.empty() && int(kept.size()) < options.max_detections) {
    const auto best = std::max_element(alive.begin(), alive.end(),
                                       [](const KeptBox& a, const KeptBox& b) { return a.score < b.score; });
    const KeptBox top = *best;
    kept.push_back(top);
    alive.erase(best);
    for (KeptBox& other : alive) {
      if (labels[other.index] != labels[top.index]) continue;
      const float overlap = iou(boxes[other.index], boxes[top.index]);
      if (overlap > 0) other.score *= std::exp(-(overlap * overlap) / options.sigma);
    }
    std::erase_if(alive, [&](const KeptBox& k) { return !(k.score > options.score_threshold); });
  }
  return kept;
}

}  // namespace fovea
