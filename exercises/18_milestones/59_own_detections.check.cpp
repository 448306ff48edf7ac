#include <cmath>

#include "check.h"

#include <59_own_detections.h>

using namespace fovea::learn;

namespace {

bool all_given(const OwnParts& parts) {
  return parts.anchors_of_level && parts.match && parts.encode && parts.decode && parts.suppress;
}

}  // namespace

STEP("all five functions are given") {
  const OwnParts parts = own_detections();
  expect(bool(parts.anchors_of_level), "anchors_of_level is empty");
  expect(bool(parts.match), "match is empty");
  expect(bool(parts.encode), "encode is empty");
  expect(bool(parts.decode), "decode is empty");
  expect(bool(parts.suppress), "suppress is empty");
}

STEP("they have the constants of the training") {
  const OwnParts parts = own_detections();
  expect(all_given(parts), "a function is empty");
  const Box anchor = parts.anchors_of_level(1, 8).at(0);
  expect_close(anchor.y1 - anchor.y0, 16, "the side of the first anchor of a cell with stride 8: 2 strides");
  expect(parts.match({{0.5}, {0.4}}) == std::vector<int>{0, -1},
         "match of the IoUs 0.5 and 0.4 should be 0, -1");
  expect_close(parts.encode({0, 0, 10, 10}, {5, 0, 15, 10}), std::vector<double>{0.5, 0, 0, 0}, "encode");
  expect_close(parts.decode({0, 0, 10, 10}, {0.5, 0, 0, 0}).y0, 5, "decode");
  expect(parts.suppress({{0, 0, 10, 10}, {0, 1, 10, 11}}, {0.5, 0.6}) == std::vector<int>{1},
         "suppress of two boxes with IoU 0.82");
}

STEP("efficientdet_d-3 reaches an AP50 of 0.3 on drawn shapes (one to three minutes)") {
  const OwnParts parts = own_detections();
  expect(all_given(parts), "a function is empty");
  const double ap50 = train_on_shapes(parts);
  expect(ap50 >= milestone_ap50, "expected an AP50 of at least {}, got {:.3f}", milestone_ap50, ap50);
}
