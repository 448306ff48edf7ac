#include "check.h"

#include <01_offset_of.h>

using namespace fovea::learn;

STEP("the elements of a vector lie one after another") {
  for (int64_t i : {0, 1, 4})
    expect_equal(offset_of({i}, {5}), i, fmt::format("offset_of({{{}}}, {{5}})", i));
}

STEP("a step along the last axis of a matrix is a step of 1") {
  const int64_t offset = offset_of({0, 2}, {3, 4});
  expect(offset != 6,
         "offset_of({{0, 2}}, {{3, 4}}): expected 2, got 6: in column-major order the numbers of a "
         "column are neighbours; here those of a row are");
  expect_equal(offset, int64_t(2), "offset_of({0, 2}, {3, 4})");
}

STEP("a step along the first axis of a matrix is a row's length") {
  const int64_t offset = offset_of({1, 0}, {3, 4});
  expect(
      offset != 3,
      "offset_of({{1, 0}}, {{3, 4}}): expected 4, got 3: 3 is the number of rows. One row further is as many "
      "elements as a row has");
  expect_equal(offset, int64_t(4), "offset_of({1, 0}, {3, 4})");
  expect_equal(offset_of({2, 3}, {3, 4}), int64_t(11), "offset_of({2, 3}, {3, 4})");
}

STEP("a scalar's element lies at 0") { expect_equal(offset_of({}, {}), int64_t(0), "offset_of({}, {})"); }

STEP("all elements of a 2 x 3 x 5 x 7 tensor, in order") {
  int64_t expected = 0;
  for (int64_t n = 0; n < 2; ++n)
    for (int64_t y = 0; y < 3; ++y)
      for (int64_t x = 0; x < 5; ++x)
        for (int64_t c = 0; c < 7; ++c, ++expected)
          expect_equal(offset_of({n, y, x, c}, {2, 3, 5, 7}), expected,
                       fmt::format("offset_of({{{}, {}, {}, {}}}, {{2, 3, 5, 7}})", n, y, x, c));
}
