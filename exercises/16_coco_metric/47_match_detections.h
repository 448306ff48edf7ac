// Exercise 47: which detections are right
//
// Goal:      Match the detections of one class in one image with its objects, best score first.
// Builds on: nothing
// Minutes:   25
// Source:    pycocotools, cocoeval.py, evaluateImg; train/evaluation/coco_evaluation.cpp
#pragma once
#include <cstdint>
#include <vector>

// `iou[d][t]` is the overlap of detection d with object t; detections are sorted by score, best first. Each
// detection in its turn takes the object that it overlaps most, among those that no earlier detection has
// taken, if that IoU is at least `threshold`; of equal IoUs the last object, as pycocotools does. Return for
// each detection the object it got, or -1: a false positive.
inline std::vector<int> match_detections(const std::vector<std::vector<double>>& iou, double threshold) {
  std::vector<int> matched(iou.size(), -1);
  // ---- your code: 6 to 10 lines ----
  // ---- end ----
  return matched;
}
