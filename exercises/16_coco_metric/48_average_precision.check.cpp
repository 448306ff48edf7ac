#include "check.h"

#include <48_average_precision.h>

using namespace fovea::learn;

STEP("all found and nothing else: 1") {
  expect_close(average_precision({true, true, true}, 3), 1, "three matches, three objects", 1e-9);
}

STEP("nothing found: 0") {
  expect_close(average_precision({false, false}, 2), 0, "two false positives", 1e-9);
  expect_close(average_precision({}, 2), 0, "no detections", 1e-9);
}

STEP("half of the objects found, no false positive: 51 of the 101 points") {
  expect_close(average_precision({true}, 2), 51.0 / 101,
               "one match, two objects (recalls 0, 0.01 .. 0.5 are reached)", 1e-9);
}

STEP("a false positive before the match halves the precision") {
  expect_close(average_precision({false, true}, 1), 0.5, "a false positive, then the match", 1e-9);
}

STEP("a false positive after the last match costs nothing") {
  expect_close(average_precision({true, false, false}, 1), 1, "the match, then two false positives", 1e-9);
}

STEP("precision is made monotone") {
  // precisions 1, 1/2, 2/3, 3/4; recalls 1/4, 1/4, 1/2, 3/4; monotone: 1, 3/4, 3/4, 3/4
  expect_close(average_precision({true, false, true, true}, 4), (26 * 1 + 50 * 0.75) / 101,
               "1, 0, 1, 1 of four objects", 1e-9);
}
