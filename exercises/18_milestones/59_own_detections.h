// Exercise 59: find objects with your anchors
//
// Goal:      Your anchors, matching, box codes and non-maximum suppression, from the image's truth to its
//            detections.
// Builds on: 34, 35, 36, 37
// Minutes:   15
// Source:    arXiv 1708.02002, section 4; train/detection/matching.cpp, models/postprocess.h
// Time limit: 900
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
  // ---- your code: 10 to 15 lines ----
  // ---- end ----
  return parts;
}
