#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "models/box.h"
#include "ops/detection_loss.h"  // background_target and ignored_target, the labels of anchors without an object

namespace fovea {

// When an anchor belongs to an object.
struct MatchOptions {
  float iou_threshold = 0.5f;
  // An anchor that would be background is ignored instead if at least this share of its area lies in one
  // crowd region. The published recipe drops crowd regions, so does MatchTruths::crowds = {}.
  float crowd_threshold = 0.5f;
};

// The objects of one image, in pixels of the network's input.
struct MatchTruths {
  std::span<const Box> boxes;
  std::span<const int32_t> labels;   // one for each box, 0 or more
  std::span<const Box> crowds = {};  // regions of many objects, not outlined one by one
};

// The result of matching the objects of an image, or of a batch.
struct MatchCounts {
  int64_t positives = 0;  // anchors that have an object's label
  int64_t truths = 0;     // objects of the image
  int64_t weak = 0;  // objects that no anchor overlaps with IoU >= iou_threshold: one forced anchor at most
  int64_t anchorless = 0;  // objects that got no anchor at all, and are not learned
  MatchCounts& operator+=(const MatchCounts& other);  // adds each count
  bool operator==(const MatchCounts&) const = default;
};

// Assigns the objects of an image to anchors (RetinaNet paper, section 4; effdet's argmax_matcher.py and
// target_assigner.py, to the same bits):
//   1. An anchor takes the object that it overlaps most, the first of equals, if the IoU is at least
//      iou_threshold.
//   2. Then each object takes the anchor that overlaps it most, the first of equals, whatever the IoU is and
//      whatever step 1 gave the anchor. If two objects choose the same anchor, the first object gets it.
// In one case this differs from effdet: an object that overlaps no anchor at all takes none, where effdet
// gives it anchor 0. Construct it once for each set of anchors; it may be used from many threads at once.
class AnchorMatcher {
 public:
  // Throws Error if an anchor has no positive, finite size or a threshold is not above 0 and at most 1.
  explicit AnchorMatcher(std::span<const Box> anchors, const MatchOptions& options = {});

  int64_t num_anchors() const { return int64_t(anchors_.size()); }

  // class_targets: num_anchors; box_targets: num_anchors x 4 (ty, tx, th, tw), 0 where the anchor has no
  // object. Throws Error if a box has no positive, finite size or a label is negative.
  MatchCounts match(const MatchTruths& truths, std::span<int32_t> class_targets,
                    std::span<float> box_targets) const;

  // The same for a batch, one thread per image; targets of the images follow each other. Counts are summed.
  MatchCounts match_batch(std::span<const MatchTruths> images, std::span<int32_t> class_targets,
                          std::span<float> box_targets) const;

 private:
  // Consecutive anchors lie close together, so most blocks do not touch an object and are skipped whole.
  struct Block {
    int64_t begin, end;
    Box bounds;
  };
  struct BestAnchor {
    float iou = 0;
    int64_t anchor = -1;
  };

  void match_block(const Block& block, std::span<const Box> truths, std::vector<BestAnchor>& best_anchors,
                   std::span<int32_t> matched) const;
  void ignore_crowds(std::span<const Box> crowds, std::span<int32_t> class_targets) const;

  MatchOptions options_;
  std::vector<Box> anchors_;
  std::vector<float> ymin_, xmin_, ymax_, xmax_,
      area_;  // of the anchors again, each by itself for the vector units
  std::vector<Block> blocks_;
};

// The truths of a batch as tensors, whose size does not change from batch to batch.
struct PaddedTruths {
  Tensor boxes;   // (images, room, 4)
  Tensor labels;  // (images, room) int32: a label, ignored_target for a crowd region, background_target for
                  // no entry
};

// Works on the CPU. Throws as AnchorMatcher does, and if an image has more objects and crowd regions than
// `room`.
PaddedTruths pad_truths(std::span<const MatchTruths> images, int64_t room);

// AnchorMatcher on Device::cuda: the same class targets, bit for bit, and box targets up to the rounding of
// the logarithm. It never makes the host wait, so a captured step can match each new batch.
class DeviceMatcher {
 public:
  // Throws as AnchorMatcher does.
  explicit DeviceMatcher(std::span<const Box> anchors, const MatchOptions& options = {});

  int64_t num_anchors() const { return anchors_.size(0); }

  // Matches n images, with truths from pad_truths() copied to the device, where no numbers are checked.
  // Overwrites class_targets (n, num_anchors) int32, box_targets (n, num_anchors, 4), and normalizer, the one
  // number of positive anchors in the batch + 1 that the losses divide by.
  void match_batch(const PaddedTruths& truths, const Tensor& class_targets, const Tensor& box_targets,
                   const Tensor& normalizer) const;

 private:
  MatchOptions options_;
  Tensor anchors_;
};

}  // namespace fovea
