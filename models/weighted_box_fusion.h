#pragma once
#include <span>
#include <vector>

#include "models/box.h"

namespace fovea {

// The settings of weighted_box_fusion().
struct WeightedBoxFusionOptions {
  float iou_threshold =
      0.55f;                  // 0 .. 1: a box joins a cluster whose fused box it overlaps with a greater IoU
  float score_threshold = 0;  // boxes must score more, 0 or greater
  int max_detections = 100;   // fused boxes that are returned, of all labels together
};

// Weighted box fusion (Solovyev et al., arXiv 1910.13302, section 3): one list of detections from those of
// several sources, which are models or views, for the same image, in its pixels. Every label is treated
// separately. In order of the scores, each box of all sources joins the cluster whose fused box it overlaps
// most, if by more than iou_threshold, or begins a new cluster. A fused box is the mean of its cluster's
// boxes, weighted by their scores; its score is their mean score, times min(boxes, sources) / sources: a box
// that only one of two sources has found keeps half of its score. Unlike NMS, fusion moves boxes, and it
// expects that NMS was already applied to each source.
//
// Best score first. The order is fixed: equal scores go by source, then by place in its list; of equal
// overlaps the cluster that began first takes the box; equal fused scores stay in the order in which their
// clusters began. Throws Error if a score is NaN or an option is out of its range.
std::vector<Detection> weighted_box_fusion(std::span<const std::vector<Detection>> sources,
                                           const WeightedBoxFusionOptions& options = {});

}  // namespace fovea
