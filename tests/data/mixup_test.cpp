#include "train/data/augment/mixup.h"

#include <catch2/catch.hpp>
#include <cmath>

using namespace fovea;

TEST_CASE("the share of MixUp has the moments and the quarters of Beta(1.5, 1.5)") {
  Random random(3);
  constexpr int rounds = 20000;
  double sum = 0, squares = 0;
  int below = 0;
  for (int i = 0; i < rounds; ++i) {
    const double share = mixup_share(random);
    REQUIRE((share >= 0 && share <= 1));
    sum += share, squares += share * share, below += share < 0.25;
  }
  CHECK(sum / rounds == Approx(0.5).margin(0.01));
  CHECK(squares / rounds - 0.25 == Approx(1 / 16.0).margin(0.005));  // 1 / (4 (2 * 1.5 + 1))
  CHECK(double(below) / rounds == Approx(1 / 3.0 - std::sqrt(3) / (4 * M_PI)).margin(0.015));
}

TEST_CASE("a classifier's share has the moments and the tails of Beta(0.2, 0.2)") {
  Random random(3);
  constexpr int rounds = 20000;
  double sum = 0, squares = 0;
  int low = 0;
  for (int i = 0; i < rounds; ++i) {
    const double share = classifier_mixup_share(random);
    REQUIRE((share >= 0 && share <= 1));
    sum += share, squares += share * share, low += share < 0.1;
  }
  CHECK(sum / rounds == Approx(0.5).margin(0.01));
  CHECK(squares / rounds - 0.25 == Approx(1 / 5.6).margin(0.005));  // 1 / (4 (2 * 0.2 + 1))
  CHECK(double(low) / rounds == Approx(0.337).margin(0.015));       // of the incomplete beta function
}

TEST_CASE("mixed images have the top left corner in common") {
  Image wide(3, 1), high(1, 2);
  std::fill(wide.pixels.begin(), wide.pixels.end(), uint8_t(200));
  std::fill(high.pixels.begin(), high.pixels.end(), uint8_t(100));
  const Image mixed = mix(wide, high, 0.75, {40, 50, 60});
  REQUIRE((mixed.width == 3 && mixed.height == 2));
  CHECK(mixed.at(0, 0)[0] == 175);
  CHECK(mixed.at(2, 0)[1] == 163);  // 0.75 * 200 + 0.25 * 50, rounded
  CHECK(mixed.at(0, 1)[2] == 70);   // 0.75 * 60 + 0.25 * 100
  CHECK(mixed.at(2, 1)[0] == 40);
  CHECK(mix(wide, high, 1, {0, 0, 0}).at(1, 0)[0] == 200);
}
