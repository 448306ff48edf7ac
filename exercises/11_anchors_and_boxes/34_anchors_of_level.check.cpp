#include <fovea/models/anchors.h>

#include "check.h"

#include <34_anchors_of_level.h>

using namespace fovea::learn;

namespace {

void expect_box(const Box& got, const Box& expected, std::string_view what) {
  expect_close(std::vector{got.y0, got.x0, got.y1, got.x1},
               std::vector{expected.y0, expected.x0, expected.y1, expected.x1}, what, 1e-5);
}

// Anchor i of cells x cells cells with stride 8.
Box anchor(int cells, size_t i) {
  const std::vector<Box> anchors = anchors_of_level(cells, 8);
  expect(anchors.size() == size_t(cells * cells * 9), "{} x {} cells have {} anchors, got {}", cells, cells,
         cells * cells * 9, anchors.size());
  return anchors[i];
}

}  // namespace

STEP("a level of one cell has nine anchors") {
  expect_equal(anchors_of_level(1, 128).size(), size_t(9), "how many");
}

STEP("the first: a square of 4 strides about the centre") {
  expect_box(anchor(1, 0), {-12, -12, 20, 20}, "anchor 0 of one cell with stride 8 (y0, x0, y1, x1)");
}

STEP("the second is wide, the third is tall") {
  expect_box(anchor(1, 1), {4 - 11.2, 4 - 22.4, 4 + 11.2, 4 + 22.4}, "anchor 1 (factors 1.4 in x, 0.7 in y)");
  expect_box(anchor(1, 2), {4 - 22.4, 4 - 11.2, 4 + 22.4, 4 + 11.2}, "anchor 2 (factors 0.7 in x, 1.4 in y)");
}

STEP("the fourth is the square of the next octave") {
  const double half = 16 * std::cbrt(2);
  expect_box(anchor(1, 3), {4 - half, 4 - half, 4 + half, 4 + half}, "anchor 3 (2^(1/3) times as large)");
}

STEP("cells go row by row") {
  expect_box(anchor(2, 9), {-12, -4, 20, 28}, "anchor 9 of 2 x 2 cells (y = 0, x = 1)");
  expect_box(anchor(2, 18), {-4, -12, 28, 20}, "anchor 18 of 2 x 2 cells (y = 1, x = 0)");
}

STEP("the same as Fovea's for levels 3 to 7 of a 512 x 512 image") {
  std::vector<Box> all;
  for (int level = 3; level <= 7; ++level)
    for (const Box& box : anchors_of_level(512 >> level, 1 << level)) all.push_back(box);
  const auto expected = fovea::generate_anchors(512, 512, {});
  expect_equal(all.size(), expected.size(), "how many (49104 is the number of D0)");
  for (size_t i = 0; i < all.size(); ++i)
    expect_box(all[i], {expected[i].ymin, expected[i].xmin, expected[i].ymax, expected[i].xmax},
               fmt::format("anchor {}", i));
}
