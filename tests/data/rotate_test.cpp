#include "train/data/augment/rotate.h"

#include <catch2/catch.hpp>
#include <cmath>

#include "train/data/augment/augment.h"

using namespace fovea;
using Catch::Contains;

namespace {

constexpr std::array<uint8_t, 3> grey{90, 90, 90};

// A black image of 120 x 90 with a white shape that fills, or as an ellipse touches, this box.
Image painted(const Annotation& box, bool ellipse) {
  Image image(120, 90);
  for (int y = 0; y < image.height; ++y)
    for (int x = 0; x < image.width; ++x) {
      const double across = (x + 0.5 - box.x) / box.width * 2 - 1,
                   down = (y + 0.5 - box.y) / box.height * 2 - 1;
      const bool in =
          ellipse ? across * across + down * down <= 1 : std::abs(across) <= 1 && std::abs(down) <= 1;
      if (in) std::fill_n(image.at(x, y), 3, uint8_t(255));
    }
  return image;
}

// Around the pixels that are more white than black.
Annotation seen(const Image& image) {
  int left = image.width, top = image.height, right = 0, bottom = 0;
  for (int y = 0; y < image.height; ++y)
    for (int x = 0; x < image.width; ++x) {
      if (image.at(x, y)[0] < 128) continue;
      left = std::min(left, x), right = std::max(right, x + 1);
      top = std::min(top, y), bottom = std::max(bottom, y + 1);
    }
  return {double(left), double(top), double(right - left), double(bottom - top)};
}

void check_near(const Annotation& found, const Annotation& expected, double tolerance) {
  CHECK(found.x == Approx(expected.x).margin(tolerance));
  CHECK(found.y == Approx(expected.y).margin(tolerance));
  CHECK(found.x + found.width == Approx(expected.x + expected.width).margin(tolerance));
  CHECK(found.y + found.height == Approx(expected.y + expected.height).margin(tolerance));
}

}  // namespace

TEST_CASE("rotated boxes lie on the pixels: an object's around an ellipse, a crowd's around a rectangle") {
  const Annotation object{.x = 50, .y = 30, .width = 40, .height = 16};
  Annotation crowd = object;
  crowd.crowd = true;
  for (const double angle : {-45.0, -20.0, 0.0, 7.0, 30.0}) {
    CAPTURE(angle);
    const Image round = painted(object, true), square = painted(object, false);
    const auto moved = rotate(round, std::vector{object, crowd}, angle);
    REQUIRE(moved.size() == 2);
    check_near(moved[0], seen(rotate(round, angle, grey)), 1.1);
    check_near(moved[1], seen(rotate(square, angle, grey)), 1.1);
  }
}

TEST_CASE("a rotation by 0 changes nothing, one by 90 degrees is clockwise and exact") {
  const Annotation object{.x = 50, .y = 30, .width = 40, .height = 16};
  Image image = painted(object, false);
  CHECK(rotate(image, 0, grey).pixels == image.pixels);
  check_near(rotate(image, std::vector{object}, 0)[0], object, 1e-9);
  Image square(4, 4);
  square.at(0, 0)[0] = 200;
  const Image turned = rotate(square, 90, grey);
  CHECK(turned.at(3, 0)[0] == 200);
  CHECK(turned.at(0, 0)[0] == 0);
}

TEST_CASE("what comes from outside has the colour that becomes 0, boxes are cut off at the image") {
  Image white(60, 60);
  std::fill(white.pixels.begin(), white.pixels.end(), uint8_t(255));
  CHECK(rotate(white, 45, grey).at(0, 0)[0] == 90);
  std::vector<float> pixels(60 * 60 * 3);
  const std::vector<Annotation> objects{{.x = -20, .y = -20, .width = 30, .height = 30},
                                        {.x = 70, .y = 5, .width = 9, .height = 9}};
  bool background = false;
  for (uint64_t seed = 0; seed < 20; ++seed) {
    Random random(seed);
    const PreparedImage prepared = prepare_for_training(
        white, objects, 60, 60, {.scale_min = 1, .scale_max = 1, .rotate = 45}, random, pixels);
    CHECK(prepared.boxes.size() <= 1);  // the second has no pixel
    for (const Box& box : prepared.boxes) {
      CHECK((box.xmin >= 0 && box.ymin >= 0 && box.xmax <= 60 && box.ymax <= 60));
      CHECK((box.width() >= 1 && box.height() >= 1));
    }
    background = background || std::abs(pixels[0]) < 0.01;
  }
  CHECK(background);
}

TEST_CASE("an angle beyond 45 degrees is refused") {
  const Image image(8, 8);
  std::vector<float> pixels(8 * 8 * 3);
  Random random;
  for (const double angle : {-1.0, 46.0, double(NAN)}) {
    CHECK_THROWS_WITH(prepare_for_training(image, {}, 8, 8, {.rotate = angle}, random, pixels),
                      Contains("give 0 to 45 degrees"));
    CHECK_THROWS_WITH(prepare_for_classification(image, 8, {.rotate = angle}, random, pixels),
                      Contains("give 0 to 45 degrees"));
  }
}

TEST_CASE("rotations are drawn evenly to both sides, and no random number where none is asked for") {
  const Image image(100, 100);
  const std::vector<Annotation> objects{{.x = 60, .y = 40, .width = 20, .height = 20}};
  std::vector<float> pixels(100 * 100 * 3);
  double lowest = 0, highest = 0, sum = 0;
  constexpr int rounds = 300;
  for (int i = 0; i < rounds; ++i) {
    Random random(5, uint64_t(i));
    const AugmentOptions options{.horizontal_flip = false, .scale_min = 1, .scale_max = 1, .rotate = 30};
    const Box box = prepare_for_training(image, objects, 100, 100, options, random, pixels).boxes.at(0);
    const double x = (box.xmin + box.xmax) / 2 - 50, y = (box.ymin + box.ymax) / 2 - 50;
    const double angle = std::atan2(y, x) * 180 / 3.14159265;
    lowest = std::min(lowest, angle), highest = std::max(highest, angle), sum += angle;
  }
  CHECK((lowest >= -30.01 && lowest < -28 && highest <= 30.01 && highest > 28));
  CHECK(std::abs(sum / rounds) < 4);  // its deviation is 1

  Random off(1), on(1);
  prepare_for_training(image, objects, 100, 100, {}, off, pixels);
  CHECK(off.position() == 4);  // flip, scale and the two offsets
  prepare_for_training(image, objects, 100, 100, {.rotate = 30, .random_erasing = 1e-9}, on, pixels);
  CHECK(on.position() == 6);
}
