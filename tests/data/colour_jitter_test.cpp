#include "train/data/augment/colour_jitter.h"

#include <catch2/catch.hpp>
#include <cmath>

#include "core/error.h"
#include "train/data/augment/augment.h"

using namespace fovea;
using Catch::Contains;

namespace {

using Rgb = std::array<double, 3>;

Rgb mapped(const ColourMap& map, const Rgb& c) {
  Rgb result = map.offset;
  for (size_t i = 0; i < 3; ++i)
    for (size_t k = 0; k < 3; ++k) result[i] += map.matrix[i][k] * c[k];
  return result;
}

void check_equal(const Rgb& a, const Rgb& b, double margin = 1e-9) {
  for (size_t i = 0; i < 3; ++i) CHECK(a[i] == Approx(b[i]).margin(margin));
}

double grey(const Rgb& c) { return 0.299 * c[0] + 0.587 * c[1] + 0.114 * c[2]; }

constexpr Rgb orange{200, 100, 50};  // grey: 59.8 + 58.7 + 5.7 = 124.2

// What training makes of an image of one colour, as colours again.
Rgb trained(const Rgb& colour, const ColourJitter& jitter, uint64_t stream) {
  Image image(4, 4);
  for (size_t i = 0; i < image.pixels.size(); ++i) image.pixels[i] = uint8_t(colour[i % 3]);
  std::vector<float> pixels(4 * 4 * 3);
  Random random(1, stream);
  prepare_for_training(image, {}, 4, 4,
                       {.horizontal_flip = false, .scale_min = 1, .scale_max = 1, .colours = jitter}, random,
                       pixels);
  constexpr Rgb mean{0.485, 0.456, 0.406}, deviation{0.229, 0.224, 0.225};
  Rgb result;
  for (size_t c = 0; c < 3; ++c) result[c] = 255 * (double(pixels[15 + c]) * deviation[c] + mean[c]);
  return result;
}

}  // namespace

TEST_CASE("each change of colour by hand") {
  check_equal(mapped(colour_map(1, 1, 1, 0, 80), orange), orange);
  check_equal(mapped(colour_map(0.5, 1, 1, 0, 80), orange), {100, 50, 25});
  check_equal(mapped(colour_map(1, 0.5, 1, 0, 80), orange), {140, 90, 65});  // halfway to the mean grey
  check_equal(mapped(colour_map(0.5, 0.5, 1, 0, 80), orange),
              {70, 45, 32.5});  // which brightness also scales
  check_equal(mapped(colour_map(1, 1, 0, 0, 80), orange), {124.2, 124.2, 124.2});
  check_equal(mapped(colour_map(1, 1, 2, 0, 80), orange),
              {275.8, 75.8, -24.2});  // twice as far from its grey
  // Half a turn puts the colour on the other side of its grey: 2 * 124.2 - c. A whole one does nothing.
  check_equal(mapped(colour_map(1, 1, 1, 0.5, 80), orange), {48.4, 148.4, 198.4});
  check_equal(mapped(colour_map(1, 1, 1, 1, 80), orange), orange);
  // All in their order: brightness, contrast, saturation, hue.
  const Rgb first = mapped(colour_map(0.5, 0.5, 1, 0, 80), orange);
  check_equal(mapped(colour_map(0.5, 0.5, 0.25, 0.1, 80), orange),
              mapped(colour_map(1, 1, 1, 0.1, 0), mapped(colour_map(1, 1, 0.25, 0, 0), first)));
}

TEST_CASE("a turn of the hue keeps grey and turns I and Q of YIQ") {
  // YIQ of (255, 0, 0) is (76.245, 151.95, 53.93); a quarter turn makes it (76.245, -53.93, 151.95).
  const Rgb turned = mapped(colour_map(1, 1, 1, 0.25, 0), {255, 0, 0});
  CHECK(grey(turned) == Approx(76.245).margin(0.01));
  CHECK(0.5959 * turned[0] - 0.2746 * turned[1] - 0.3213 * turned[2] == Approx(-53.93).margin(0.01));
  CHECK(0.2115 * turned[0] - 0.5227 * turned[1] + 0.3112 * turned[2] == Approx(151.95).margin(0.01));
  // With the inverse that is printed with the standard: R = Y + 0.956 I + 0.619 Q and so on.
  check_equal(turned,
              {76.245 - 0.956 * 53.93 + 0.619 * 151.95, 76.245 + 0.272 * 53.93 - 0.647 * 151.95,
               76.245 + 1.106 * 53.93 + 1.703 * 151.95},
              0.3);
  check_equal(mapped(colour_map(1, 1, 1, 0.17, 0), {90, 90, 90}), {90, 90, 90});
}

TEST_CASE("the mean grey of an image") {
  Image image(2, 1);
  image.pixels = {255, 0, 0, 10, 20, 30};
  CHECK(mean_grey(image) == Approx((0.299 * 255 + 0.299 * 10 + 0.587 * 20 + 0.114 * 30) / 2));
}

TEST_CASE("training images change within the limits, cut off at black and white") {
  const Rgb colour{200, 100, 50};
  double low = 9, high = 0;
  for (uint64_t stream = 0; stream < 300; ++stream) {
    const Rgb seen = trained(colour, {.brightness = 0.5}, stream);
    const double factor = seen[2] / 50;
    low = std::min(low, factor), high = std::max(high, factor);
    check_equal(seen, {std::min(255.0, 200 * factor), 100 * factor, 50 * factor}, 1e-3);

    const Rgb same = trained(colour, {.contrast = 1}, stream);  // of one colour: towards its own grey, 124.2
    const double contrast = (same[1] - 124.2) / (100 - 124.2);
    CHECK((contrast >= -1e-6 && contrast <= 2));
    CHECK(same[0] == Approx(std::min(255.0, 124.2 + contrast * (200 - 124.2))).margin(1e-3));

    const Rgb hue = trained({140, 120, 110}, {.hue = 0.5}, stream);
    CHECK(grey(hue) == Approx(grey({140, 120, 110})).margin(1e-3));
    check_equal(trained({90, 90, 90}, {.saturation = 1, .hue = 0.5}, stream), {90, 90, 90}, 1e-3);
  }
  CHECK(low == Approx(0.5).margin(0.02));
  CHECK(high == Approx(1.5).margin(0.02));
}

TEST_CASE("limits of 0 draw nothing and change nothing") {
  Image image(9, 7);
  Random noise(3);
  for (uint8_t& value : image.pixels) value = uint8_t(noise.below(256));
  std::vector<float> without(8 * 8 * 3), with(without.size());
  Random first(4), second(4);
  prepare_for_training(image, {}, 8, 8, {}, first, without);
  prepare_for_training(image, {}, 8, 8, {.crop = 0, .colours = {0, 0, 0, 0}}, second, with);
  CHECK(first.position() == second.position());
  CHECK(with == without);
  Random third(4);
  prepare_for_training(image, {}, 8, 8, {.colours = {.brightness = 0.2}}, third, with);
  CHECK(third.position() == first.position() + 1);  // drawn after the others, so those stay
  CHECK(with != without);

  Random fourth(4), fifth(4);
  const auto prepare = [&](const ColourJitter& colours, Random& random, std::vector<float>& pixels) {
    prepare_for_classification(image, 8, {.random_crop = true, .horizontal_flip = true, .colours = colours},
                               random, pixels);
  };
  prepare({}, fourth, without);
  prepare({.saturation = 1}, fifth, with);
  CHECK(fifth.position() == fourth.position() + 1);
  CHECK(with != without);
  prepare_for_classification(image, 8, without);
  prepare_for_classification(image, 8, {}, fifth, with);
  CHECK(with == without);  // what is measured is never changed
}

TEST_CASE("limits out of their range are refused") {
  Random random(1);
  const Image image(2, 2);
  CHECK_THROWS_WITH(random_colour_map({.brightness = 1.5}, image, random),
                    Contains("brightness is 1.5: give 0 to 1"));
  CHECK_THROWS_WITH(random_colour_map({.contrast = -1}, image, random), Contains("contrast is -1"));
  CHECK_THROWS_WITH(random_colour_map({.saturation = NAN}, image, random), Contains("saturation is nan"));
  CHECK_THROWS_WITH(random_colour_map({.hue = 0.6}, image, random),
                    Contains("hue is 0.6: give 0 to 0.5 turns"));
}
