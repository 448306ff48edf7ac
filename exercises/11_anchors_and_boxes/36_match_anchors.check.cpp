#include "check.h"

#include <36_match_anchors.h>

using namespace fovea::learn;

namespace {

void expect_matches(const std::vector<std::vector<double>>& iou, const std::vector<int>& expected,
                    const char* what) {
  const std::vector<int> got = match_anchors(iou, 0.5);
  expect(got == expected, "{}: expected {{{}}}, got {{{}}}", what, fmt::join(expected, ", "),
         fmt::join(got, ", "));
}

}  // namespace

STEP("an anchor takes the object it overlaps most, from 0.5 on") {
  expect_matches({{0.5}, {0.6}, {0.49}}, {0, 0, -1}, "three anchors with IoU 0.5, 0.6, 0.49 and one object");
  expect_matches({{0.6, 0.7}, {0.8, 0.5}}, {1, 0}, "two anchors, two objects");
}

STEP("an object below the threshold gets its best anchor") {
  expect_matches({{0.1}, {0.3}, {0.2}}, {-1, 0, -1}, "one object with IoUs 0.1, 0.3, 0.2");
}

STEP("it takes it from an object that has others") {
  // object 1's best anchor is 1, which overlaps object 0 more
  expect_matches({{0.9, 0.0}, {0.8, 0.4}}, {0, 1}, "IoUs {0.9, 0.0} and {0.8, 0.4}");
}

STEP("two objects that want the same anchor: the first has it") {
  expect_matches({{0.4, 0.45}, {0.1, 0.2}}, {0, -1}, "IoUs {0.4, 0.45} and {0.1, 0.2}");
}

STEP("an object that overlaps nothing gets nothing") {
  expect_matches({{0.7, 0}, {0.6, 0}}, {0, 0}, "object 1 overlaps no anchor");
}

STEP("no objects") { expect_matches({{}, {}}, {-1, -1}, "two anchors, no object"); }
