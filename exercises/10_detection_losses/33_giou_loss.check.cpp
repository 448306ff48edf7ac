#include "check.h"

#include <33_giou_loss.h>

using namespace fovea::learn;

STEP("equal boxes") { expect_close(giou_loss({0, 0, 2, 3}, {0, 0, 2, 3}), 0, "loss of equal boxes", 1e-12); }

STEP("boxes that overlap") {
  // areas 4 and 4, intersection 1, union 7, hull 9
  expect_close(giou_loss({0, 0, 2, 2}, {1, 1, 3, 3}), 1 - 1.0 / 7 + 2.0 / 9, "{0,0,2,2} and {1,1,3,3}",
               1e-12);
  // one in the other: intersection 1, union and hull 16
  expect_close(giou_loss({0, 0, 4, 4}, {1, 1, 2, 2}), 1 - 1.0 / 16, "{0,0,4,4} and {1,1,2,2}", 1e-12);
}

STEP("boxes apart along one axis, and along both") {
  // hull 2 x 6 = 12, union 8
  expect_close(giou_loss({0, 0, 2, 2}, {0, 4, 2, 6}), 1 + 4.0 / 12, "{0,0,2,2} and {0,4,2,6}", 1e-12);
  // hull 36, union 8: two negative sides must not make a positive intersection
  expect_close(giou_loss({0, 0, 2, 2}, {4, 4, 6, 6}), 1 + 28.0 / 36, "{0,0,2,2} and {4,4,6,6}", 1e-12);
}

STEP("farther apart is worse: that is what IoU cannot say") {
  const double near = giou_loss({0, 0, 1, 1}, {0, 2, 1, 3}), far = giou_loss({0, 0, 1, 1}, {0, 20, 1, 21});
  expect(near < far && far < 2, "expected 1 < loss at distance 2 < loss at distance 20 < 2, got {} and {}",
         near, far);
}

STEP("the order of the two does not matter") {
  expect_close(giou_loss({0, 0, 2, 5}, {1, 1, 3, 3}), giou_loss({1, 1, 3, 3}, {0, 0, 2, 5}), "both orders",
               1e-12);
}

STEP("boxes without an area") {
  expect_close(giou_loss({1, 1, 1, 1}, {1, 1, 1, 1}), 1, "a point and itself: all three areas are 0", 1e-12);
  expect_close(giou_loss({0, 0, 0, 4}, {2, 0, 2, 4}), 2, "two lines: the hull is all that neither covers",
               1e-12);
}
