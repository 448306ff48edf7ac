// Exercise 59: find objects with your anchors
#pragma once
#include <milestone.h>

#include <11_anchors_and_boxes/34_anchors_of_level.h>
#include <11_anchors_and_boxes/35_box_codes.h>
#include <11_anchors_and_boxes/36_match_anchors.h>
#include <11_anchors_and_boxes/37_non_maximum_suppression.h>

// Give the training and the evaluation your functions of exercises 34 to 37. OwnParts
// (exercises/support/milestone.h) has
//   anchors_of_level(cells, stride)    with the scale milestone_anchor_scale
//   match(iou)                         with a threshold of 0.5
//   encode(anchor, box)                gives {ty, tx, th, tw} as a std::vector<double>
//   decode(anchor, code)               takes such a vector
//   suppress(boxes, scores)            with a threshold of 0.5
inline fovea::learn::OwnParts own_detections() {
  fovea::learn::OwnParts parts;
  parts.anchors_of_level = [](int cells, double stride) {
    return anchors_of_level(cells, stride, fovea::learn::milestone_anchor_scale);
  };
  parts.match = [](const std::vector<std::vector<double>>& iou) { return match_anchors(iou, 0.5); };
  parts.encode = [](const Box& anchor, const Box& box) {
    const BoxCode code = encode(anchor, box);
    return std::vector{code.ty, code.tx, code.th, code.tw};
  };
  parts.decode = [](const Box& anchor, const std::vector<double>& code) {
    return decode(anchor, {code[0], code[1], code[2], code[3]});
  };
  parts.suppress = [](const std::vector<Box>& boxes, const std::vector<double>& scores) {
    return non_maximum_suppression(boxes, scores, 0.5);
  };
  return parts;
}
