// Compiled with -ffp-contract=off: CMakeLists.txt gives the reason.
#include "models/weighted_box_fusion.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "core/error.h"
#include "models/nms.h"

namespace fovea {
namespace {

bool scores_more(const Detection& a, const Detection& b) { return a.score > b.score; }

class Cluster {
 public:
  void add(const Detection& added) {
    const std::array<float, 4> edges{added.box.ymin, added.box.xmin, added.box.ymax, added.box.xmax};
    for (size_t i = 0; i < 4; ++i) weighted_edges_[i] += double(added.score) * edges[i];
    scores_ += added.score;
    ++boxes_;
    const auto edge = [&](size_t i) { return float(weighted_edges_[i] / scores_); };
    fused_ = {{edge(0), edge(1), edge(2), edge(3)}, float(scores_ / double(boxes_)), added.label};
  }
  const Detection& fused() const { return fused_; }  // its score is the mean
  size_t boxes() const { return boxes_; }

 private:
  std::array<double, 4> weighted_edges_{};
  double scores_ = 0;
  size_t boxes_ = 0;
  Detection fused_;
};

std::vector<Detection> best_first(std::span<const std::vector<Detection>> sources, float score_threshold) {
  std::vector<Detection> boxes;
  for (size_t s = 0; s < sources.size(); ++s)
    for (size_t i = 0; i < sources[s].size(); ++i) {
      require(!std::isnan(sources[s][i].score),
              "[weighted_box_fusion] the score of box {} of source {} is NaN: the outputs of the network are "
              "not numbers",
              i, s);
      if (sources[s][i].score > score_threshold) boxes.push_back(sources[s][i]);
    }
  std::stable_sort(boxes.begin(), boxes.end(), scores_more);
  return boxes;
}

}  // namespace

std::vector<Detection> weighted_box_fusion(std::span<const std::vector<Detection>> sources,
                                           const WeightedBoxFusionOptions& options) {
  require(options.iou_threshold >= 0 && options.iou_threshold <= 1,
          "[weighted_box_fusion] iou_threshold is {}: give a number from 0 to 1", options.iou_threshold);
  require(options.score_threshold >= 0, "[weighted_box_fusion] score_threshold is {}: give 0 or more",
          options.score_threshold);
  require(options.max_detections >= 1, "[weighted_box_fusion] max_detections is {}: give at least 1",
          options.max_detections);
  std::vector<Cluster> clusters;
  for (const Detection& box : best_first(sources, options.score_threshold)) {
    Cluster* best = nullptr;
    float most = options.iou_threshold;
    for (Cluster& cluster : clusters) {
      if (cluster.fused().label != box.label) continue;
      const float overlap = iou(cluster.fused().box, box.box);
      if (overlap > most) best = &cluster, most = overlap;
    }
    if (!best) best = &clusters.emplace_back();
    best->add(box);
  }

  std::vector<Detection> fused;
  for (const Cluster& cluster : clusters) {
    const size_t sources_that_agree = std::min(cluster.boxes(), sources.size());
    fused.push_back(cluster.fused());
    fused.back().score = float(fused.back().score * double(sources_that_agree) / double(sources.size()));
  }
  std::stable_sort(fused.begin(), fused.end(), scores_more);
  fused.resize(std::min(fused.size(), size_t(options.max_detections)));
  return fused;
}

}  // namespace fovea
