#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "models/box.h"

namespace fovea {

// Intersection over union, 0 .. 1; 0 if the boxes have no area in common, and so for boxes without area.
float iou(const Box& a, const Box& b);

// The settings of nms().
struct NmsOptions {
  float iou_threshold = 0.5f;
  float score_threshold = 0;  // boxes must score more
  int max_detections = 100;
};

// The settings of soft_nms().
struct SoftNmsOptions {
  float sigma = 0.5f;
  float score_threshold = 0.001f;  // boxes must score more, before and after each decay
  int max_detections = 100;
};

// One box that suppression kept: its index in the inputs and its score, which soft_nms decays.
struct KeptBox {
  int index = 0;
  float score = 0;
  bool operator==(const KeptBox&) const = default;
};

// Both functions below treat every label separately (they compare labels and do not shift boxes apart, so
// large coordinates lose no digits), return at most max_detections boxes of all labels together, best score
// first, and break ties by the lower index. boxes, scores and labels have one entry per box. They throw Error
// if these lengths differ or a score is NaN.

// Greedy non-maximum suppression: in order of the scores, each kept box removes the boxes of its label that
// it overlaps with IoU > iou_threshold. The same as torchvision's batched_nms.
std::vector<KeptBox> nms(std::span<const Box> boxes, std::span<const float> scores,
                         std::span<const int32_t> labels, const NmsOptions& options = {});

// Gaussian soft NMS (Bodla et al. 2017, equation 3): each kept box multiplies the scores of the others of its
// label by exp(-IoU^2 / sigma) instead of removing them.
std::vector<KeptBox> soft_nms(std::span<const Box> boxes, std::span<const float> scores,
                              std::span<const int32_t> labels, const SoftNmsOptions& options = {});

}  // namespace fovea
