#include "check.h"

#include <47_match_detections.h>

using namespace fovea::learn;

namespace {

void expect_matches(const std::vector<std::vector<double>>& iou, double threshold,
                    const std::vector<int>& expected, const char* what) {
  const std::vector<int> got = match_detections(iou, threshold);
  expect(got == expected, "{}: expected {{{}}}, got {{{}}}", what, fmt::join(expected, ", "),
         fmt::join(got, ", "));
}

}  // namespace

STEP("a detection takes the object it overlaps most") {
  expect_matches({{0.6, 0.9, 0.7}}, 0.5, {1}, "IoUs 0.6, 0.9, 0.7");
}

STEP("below the threshold there is no match; at it there is") {
  expect_matches({{0.49}}, 0.5, {-1}, "an IoU of 0.49");
  expect_matches({{0.5}}, 0.5, {0}, "an IoU of 0.5");
}

STEP("an object is taken once: the second detection of it is a false positive") {
  expect_matches({{0.7}, {0.9}}, 0.5, {0, -1},
                 "two detections of one object (the one with the better score comes first)");
}

STEP("what is taken is out of reach, and the next best is taken") {
  expect_matches({{0.9, 0.6}, {0.8, 0.55}, {0.7, 0.7}}, 0.5, {0, 1, -1}, "three detections, two objects");
}

STEP("of equal overlaps the last object") { expect_matches({{0.8, 0.8}}, 0.5, {1}, "IoUs 0.8 and 0.8"); }

STEP("no detections, and no objects") {
  expect_matches({}, 0.5, {}, "no detections");
  expect_matches({{}, {}}, 0.5, {-1, -1}, "two detections, no objects");
}
