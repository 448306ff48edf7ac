#pragma once
#include <vector>

#include "models/efficientdet.h"
#include "ops/arithmetic.h"
#include "ops/detection_loss.h"
#include "tests/support/formula.h"
#include "train/detection/matching.h"

namespace fovea {

// The loss of a detector on formula::objects(), like class Loss in tests/exactness/reference.py, which has it
// from effdet's AnchorLabeler and DetectionLoss.
class ObjectsLoss {
 public:
  struct Losses {
    Tensor total, classes, boxes;
  };

  // For images (batch, height, width, 3).
  ObjectsLoss(const EfficientDet& model, int64_t batch, int height, int width) {
    const AnchorMatcher matcher(generate_anchors(height, width, model.spec().anchors));
    const auto objects = formula::objects(batch, height, width, int(model.classes()));
    class_targets_ = Tensor({batch, matcher.num_anchors()}, DType::int32);
    box_targets_ = Tensor({batch, matcher.num_anchors(), 4});
    std::vector<MatchTruths> truths;
    for (const auto& image : objects) truths.push_back({image.boxes, image.labels});
    normalizer_ =
        1 + double(matcher.match_batch(truths, class_targets_.span<int32_t>(), box_targets_.span<float>())
                       .positives);
  }
  Losses operator()(const DetectorOutput& output) const {
    const Tensor classes = focal_loss(output.class_logits, class_targets_, normalizer_);
    const Tensor boxes = huber_loss(output.box_codes, box_targets_, normalizer_);
    return {classes + 50 * boxes, classes, boxes};
  }

 private:
  Tensor class_targets_, box_targets_;
  double normalizer_ = 1;
};

}  // namespace fovea
