#include "check.h"

#include <37_non_maximum_suppression.h>

using namespace fovea::learn;

namespace {

void expect_kept(const std::vector<Box>& boxes, const std::vector<double>& scores,
                 const std::vector<int>& expected, const char* what) {
  const std::vector<int> got = non_maximum_suppression(boxes, scores, 0.5);
  expect(got == expected, "{}: expected {{{}}}, got {{{}}}", what, fmt::join(expected, ", "),
         fmt::join(got, ", "));
}
Box square(double x) { return {0, x, 10, x + 10}; }  // moved by x: IoU (10 - x) / (10 + x)

}  // namespace

STEP("boxes apart are all kept, best score first") {
  expect_kept({square(0), square(20), square(40)}, {0.2, 0.9, 0.5}, {1, 2, 0}, "scores 0.2, 0.9, 0.5");
}

STEP("of two that overlap, the better one is kept") {
  expect_kept({square(0), square(1)}, {0.6, 0.7}, {1}, "IoU 0.82");
  expect_kept({square(0), square(5)}, {0.6, 0.7}, {1, 0}, "IoU 0.33: two objects");
}

STEP("what was dropped drops nothing") {
  // 1 is dropped by 0; 2 overlaps 1 (IoU 0.54), but not 0 (IoU 0.25)
  expect_kept({square(0), square(3), square(6)}, {0.9, 0.8, 0.7}, {0, 2}, "a chain of three boxes");
}

STEP("an IoU of just the threshold is kept") {
  expect_kept({{0, 0, 10, 10}, {0, 0, 5, 10}}, {0.9, 0.8}, {0, 1}, "IoU 0.5 with a threshold of 0.5");
}

STEP("equal scores: the lower index first") {
  expect_kept({square(1), square(0)}, {0.5, 0.5}, {0}, "two boxes, scores 0.5");
}

STEP("none, and boxes without an area") {
  expect_kept({}, {}, {}, "no box");
  expect_kept({{1, 1, 1, 5}, {1, 1, 1, 5}}, {0.9, 0.8}, {0, 1}, "a line, twice");
}
