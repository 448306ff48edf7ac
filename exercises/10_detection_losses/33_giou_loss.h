// Exercise 33: the generalized IoU of two boxes
//
// Goal:      A measure of overlap that still says something where boxes do not overlap.
// Builds on: nothing
// Minutes:   20
// Source:    arXiv 1902.09630, algorithm 1; cuda/kernels/iou_loss.h
#pragma once
#include <algorithm>

// Boxes are given by their edges, y0 <= y1 and x0 <= x1. With their intersection I, union U and the smallest
// box that holds both, H (areas):  IoU = I / U,  GIoU = IoU - (H - U) / H,  loss = 1 - GIoU. It lies between
// 0, for equal boxes, and 2. Where U or H is 0 its fraction counts as 0.
struct Box {
  double y0, x0, y1, x1;
};
inline double giou_loss(const Box& a, const Box& b) {
  // ---- your code: 8 to 12 lines ----
  (void)a, (void)b;
  return 1;
  // ---- end ----
}
