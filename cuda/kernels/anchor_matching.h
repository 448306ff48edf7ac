#pragma once
#include <cstdint>

#include "cuda/kernels/detection_loss.h"  // background_target and ignored_target

namespace fovea::cuda {

// Sizes and thresholds of match_anchors().
struct MatchDims {
  int64_t images = 0, anchors = 0;
  int64_t room = 0;  // places for the truths of an image
  float iou_threshold = 0.5f, crowd_threshold = 0.5f;
};

// Assigns the objects of a batch to anchors like AnchorMatcher in train/detection/matching.h, with the same
// class targets. anchors (anchors, 4); boxes (images, room, 4); labels (images, room): 0 or more an object,
// background_target no entry, ignored_target a crowd region. Entries other than -1 have a positive, finite
// size. Writes class_targets (images, anchors), box_targets (images, anchors, 4), 0 where an anchor has no
// object, and into the one number `normalizer` the number of anchors with an object in the batch, plus 1. All
// boxes are aligned to 16 bytes.
void match_anchors(const float* anchors, const float* boxes, const int32_t* labels, int32_t* class_targets,
                   float* box_targets, float* normalizer, const MatchDims& dims);

}  // namespace fovea::cuda
