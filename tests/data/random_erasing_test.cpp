#include "train/data/augment/random_erasing.h"

#include <catch2/catch.hpp>

#include "train/data/augment/augment.h"

using namespace fovea;

namespace {

// The rectangle of pixels that are no longer black, and how many of them there are.
struct Erased {
  int left = 1000, top = 1000, right = 0, bottom = 0, count = 0;
  int area() const { return (right - left) * (bottom - top); }
};

Erased erased(const Image& image) {
  Erased e;
  for (int y = 0; y < image.height; ++y)
    for (int x = 0; x < image.width; ++x) {
      const uint8_t* p = image.at(x, y);
      if (p[0] == 0 && p[1] == 0 && p[2] == 0) continue;
      e.left = std::min(e.left, x), e.right = std::max(e.right, x + 1);
      e.top = std::min(e.top, y), e.bottom = std::max(e.bottom, y + 1);
      ++e.count;
    }
  return e;
}

}  // namespace

TEST_CASE("a part of 2 to 40 percent is erased with bytes of all values") {
  int least = 100 * 80, most = 0;
  double sum = 0, count = 0;
  for (uint64_t seed = 0; seed < 200; ++seed) {
    Image image(100, 80);
    Random random(seed);
    erase_random_part(image, {0, 0, 100, 80}, random);
    const Erased e = erased(image);
    CHECK(e.count == e.area());  // a whole rectangle: a byte triple of 0 has a chance of 6e-8
    const double aspect = double(e.bottom - e.top) / (e.right - e.left);
    CHECK((aspect > 0.25 && aspect < 4));
    least = std::min(least, e.count), most = std::max(most, e.count);
    for (const uint8_t value : image.pixels) sum += value;
    count += 3.0 * e.count;
  }
  CHECK((least > 0.012 * 8000 && least < 0.05 * 8000));  // sides are rounded down
  CHECK((most > 0.36 * 8000 && most <= 0.4 * 8000));
  CHECK(sum / count == Approx(127.5).margin(0.5));
}

TEST_CASE("each object is erased by itself, with its probability, inside of its box") {
  const std::vector<Annotation> objects{{.x = 10.5, .y = 5, .width = 30, .height = 40},
                                        {.x = 50, .y = 5, .width = 20, .height = 20, .crowd = true},
                                        {.x = 80, .y = 60, .width = 40, .height = 40},
                                        {.x = 200, .y = 5, .width = 5, .height = 5}};
  int first = 0, third = 0, both = 0;
  for (uint64_t seed = 0; seed < 400; ++seed) {
    Image image(100, 80);
    Random random(seed);
    erase_random_parts(image, objects, 0.3, random);
    const auto changed = [&](int left, int top, int right, int bottom) {
      int count = 0;
      for (int y = top; y < bottom; ++y)
        for (int x = left; x < right; ++x) count += image.at(x, y)[0] + image.at(x, y)[1] > 0;
      return count;
    };
    const int in_first = changed(11, 5, 40, 45), in_third = changed(80, 60, 100, 80);
    CHECK(in_first <= 0.2 * 29 * 40);
    CHECK(in_third <= 0.2 * 20 * 20);
    CHECK(changed(0, 0, 100, 80) == in_first + in_third);
    first += in_first > 0, third += in_third > 0, both += in_first > 0 && in_third > 0;
  }
  CHECK(first == Approx(120).margin(30));  // its deviation is 9
  CHECK(third == Approx(120).margin(30));
  CHECK(both == Approx(36).margin(20));
}

TEST_CASE("a classifier's image is erased in the part that the crop shows, as often as asked") {
  const Image image(90, 60);  // black
  int changed = 0;
  for (uint64_t seed = 0; seed < 200; ++seed) {
    std::vector<float> pixels(32 * 32 * 3);
    Random random(seed), same(seed);
    prepare_for_classification(image, 32, {.random_crop = true, .random_erasing = 0.25}, random, pixels);
    const Erased e = erased(image_of(pixels, 32, 32));
    changed += e.count > 0;
    if (e.count > 0) CHECK(e.area() <= 0.55 * 32 * 32);  // the filter widens it
  }
  CHECK(changed == Approx(50).margin(20));  // its deviation is 6
}
