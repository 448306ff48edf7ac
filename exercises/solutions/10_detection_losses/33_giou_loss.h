// Exercise 33: the generalized IoU of two boxes
#pragma once
#include <algorithm>

// Boxes are given by their edges, y0 <= y1 and x0 <= x1. With their intersection I, union U and the smallest
// box that holds both, H (areas):  IoU = I / U,  GIoU = IoU - (H - U) / H,  loss = 1 - GIoU. It lies between
// 0, for equal boxes, and 2. Where U or H is 0 its fraction counts as 0.
struct Box {
  double y0, x0, y1, x1;
};
inline double giou_loss(const Box& a, const Box& b) {
  const auto area = [](const Box& box) { return (box.y1 - box.y0) * (box.x1 - box.x0); };
  // Apart along one axis, the intersection's side would be negative; apart along both, the product positive.
  const double height = std::max(0.0, std::min(a.y1, b.y1) - std::max(a.y0, b.y0));
  const double width = std::max(0.0, std::min(a.x1, b.x1) - std::max(a.x0, b.x0));
  const double common = height * width, joined = area(a) + area(b) - common;
  const double hull =
      area({std::min(a.y0, b.y0), std::min(a.x0, b.x0), std::max(a.y1, b.y1), std::max(a.x1, b.x1)});
  return 1 - (joined > 0 ? common / joined : 0) + (hull > 0 ? (hull - joined) / hull : 0);
}
