#include <algorithm>
#include <array>
#include <catch2/catch.hpp>
#include <cmath>

#include "core/error.h"
#include "train/data/augment/augment.h"
#include "train/data/augment/crop.h"

using namespace fovea;
using Catch::Contains;

namespace {

using Rgb = std::array<uint8_t, 3>;

// Colours that no mixture of one of them with the black ground or the mean colour comes near.
constexpr std::array<Rgb, 7> colours{
    {{255, 0, 0}, {0, 255, 0}, {0, 0, 255}, {255, 255, 0}, {255, 0, 255}, {0, 255, 255}, {255, 255, 255}}};

// A black image with one or two rectangles, apart from each other, of different colours, their labels.
struct Painted {
  Image image;
  std::vector<Annotation> annotations;
};

Painted painted(Random& random, int first_label, int count = 2) {
  Painted p{Image(60 + int(random.below(60)), 60 + int(random.below(60))), {}};
  const int half = p.image.width / 2;
  for (int k = 0; k < count; ++k) {
    const int width = 12 + int(random.below(half - 16)), height = 12 + int(random.below(p.image.height - 16));
    const int left = k * half + 2 + int(random.below(half - width - 3)),
              top = int(random.below(p.image.height - height + 1));
    const int label = first_label + k;
    for (int y = top; y < top + height; ++y)
      for (int x = left; x < left + width; ++x)
        std::copy_n(colours[size_t(label)].begin(), 3, p.image.at(x, y));
    p.annotations.push_back(
        {double(left), double(top), double(width), double(height), double(width) * height, label});
  }
  return p;
}

// The edges of the pixels that are nearer to the label's colour than half way to black.
Box seen(const Image& image, int label) {
  Box box{1e9f, 1e9f, -1, -1};
  const Rgb& colour = colours[size_t(label)];
  for (int y = 0; y < image.height; ++y)
    for (int x = 0; x < image.width; ++x) {
      double distance = 0, length = 0;
      for (size_t c = 0; c < 3; ++c) {
        distance += std::pow(double(image.at(x, y)[c]) - colour[c], 2);
        length += std::pow(double(colour[c]), 2);
      }
      if (distance > length / 4 * 0.9) continue;
      box.ymin = std::min(box.ymin, float(y)), box.xmin = std::min(box.xmin, float(x));
      box.ymax = std::max(box.ymax, float(y + 1)), box.xmax = std::max(box.xmax, float(x + 1));
    }
  return box;
}

}  // namespace

TEST_CASE("in a mosaic each box encloses what it enclosed in its image") {
  Random random(11);
  int whole = 0, cut = 0, gone = 0;
  std::array<int, 7> found{};
  for (int round = 0; round < 60; ++round) {
    std::array<Painted, 4> parts;
    std::array<AnnotatedImage, 4> images;
    for (size_t i = 0; i < 4; ++i) {
      parts[i] = painted(random, int(i) * 2, i == 3 ? 1 : 2);
      images[i] = {&parts[i].image, parts[i].annotations};
    }
    constexpr int height = 96, width = 128;
    std::vector<float> pixels(height * width * 3, NAN);
    const PreparedImage mosaic = prepare_mosaic(
        images, height, width, {.vertical_flip = true, .scale_min = 0.5, .scale_max = 1.5}, random, pixels);
    REQUIRE(std::none_of(pixels.begin(), pixels.end(), [](float p) { return std::isnan(p); }));
    REQUIRE(mosaic.boxes.size() == mosaic.labels.size());
    const Image image = image_of(pixels, height, width);
    std::array<bool, 7> present{};
    for (size_t i = 0; i < mosaic.boxes.size(); ++i) {
      const Box box = mosaic.boxes[i];
      const int label = mosaic.labels[i];
      present[size_t(label)] = true;
      CHECK((box.xmin >= 0 && box.ymin >= 0 && box.xmax <= width && box.ymax <= height));
      CHECK((box.width() >= 1 && box.height() >= 1));
      if (box.width() < 4 || box.height() < 4) continue;  // may be nowhere its own colour
      ++found[size_t(label)];
      const Box there = seen(image, label);
      CAPTURE(round, label, box.xmin, there.xmin, box.xmax, there.xmax, box.ymin, there.ymin, box.ymax,
              there.ymax);
      CHECK(std::abs(box.xmin - there.xmin) <= 1.5);
      CHECK(std::abs(box.xmax - there.xmax) <= 1.5);
      CHECK(std::abs(box.ymin - there.ymin) <= 1.5);
      CHECK(std::abs(box.ymax - there.ymax) <= 1.5);
      ++whole;
    }
    for (int label = 0; label < 7; ++label) {
      if (present[size_t(label)]) continue;
      ++gone;
      const Box there = seen(image, label);
      CHECK((there.xmax <= there.xmin || there.width() <= 2 || there.height() <= 2));
    }
    cut += std::any_of(mosaic.boxes.begin(), mosaic.boxes.end(),
                       [&](const Box& b) { return b.xmax == width || b.ymax == height; });
  }
  CHECK(whole > 150);
  CHECK(cut > 10);
  CHECK(gone > 30);
  for (const int n : found) CHECK(n > 5);  // all four areas hold objects
}

TEST_CASE("a mosaic is a function of its random numbers, what it cannot be made from is refused") {
  Random random(12);
  std::array<Painted, 4> parts;
  std::array<AnnotatedImage, 4> images;
  for (size_t i = 0; i < 4; ++i) {
    parts[i] = painted(random, int(i) * 2, i == 3 ? 1 : 2);
    if (i == 3) parts[i].annotations.push_back({0, 0, 60, 60, 3600, 0, true});
    images[i] = {&parts[i].image, parts[i].annotations};
  }
  std::vector<float> a(64 * 64 * 3), b(a.size()), c(a.size());
  const AugmentOptions options{.scale_min = 0.4, .scale_max = 0.4, .crop = 0.5, .colours = {.hue = 0.1}};
  Random first(7, 1), again(7, 1), other(7, 2);
  const PreparedImage x = prepare_mosaic(images, 64, 64, options, first, a),
                      y = prepare_mosaic(images, 64, 64, options, again, b);
  prepare_mosaic(images, 64, 64, options, other, c);
  CHECK(a == b);
  CHECK(x.boxes == y.boxes);
  CHECK(a != c);
  CHECK(x.frame.height == 64);
  // Reduced so far that all is visible: seven objects, and the crowd region apart, in the last area.
  Random once(7, 3);
  const PreparedImage small = prepare_mosaic(images, 64, 64, {.scale_min = 0.2, .scale_max = 0.2}, once, a);
  CHECK(small.labels == std::vector<int32_t>{0, 1, 2, 3, 4, 5, 6});
  REQUIRE(small.crowds.size() == 1);
  CHECK(small.crowds[0].xmin >= 16);
  CHECK(small.crowds[0].ymin >= 16);
  CHECK_THROWS_WITH(prepare_mosaic(images, 1, 64, {}, first, std::span(a).first(64 * 3)),
                    Contains("64 x 1 pixels has no room for four images"));
}

TEST_CASE("a crop keeps the objects whose centre is in it, where their pixels are") {
  Random random(13);
  int kept = 0, dropped = 0;
  for (int round = 0; round < 200; ++round) {
    const Painted p = painted(random, 0);
    const CropWindow w = random_crop(p.image, p.annotations, random);
    REQUIRE((w.left >= 0 && w.top >= 0 && w.left + w.width <= p.image.width &&
             w.top + w.height <= p.image.height));
    CHECK((w.width >= std::lround(0.3 * p.image.width) && w.height >= std::lround(0.3 * p.image.height)));
    const Image part = cut_out(p.image, w);
    const auto annotations = cut_out(p.image, p.annotations, w);
    REQUIRE(!annotations.empty());
    kept += int(annotations.size()), dropped += 2 - int(annotations.size());
    for (const Annotation& a : annotations) {
      CHECK((a.x + a.width / 2 >= 0 && a.x + a.width / 2 < w.width));
      const Box there = seen(part, a.label);
      CHECK(there.xmin == std::max(0.0, a.x));
      CHECK(there.ymin == std::max(0.0, a.y));
      CHECK(there.xmax == std::min(double(w.width), a.x + a.width));
      CHECK(there.ymax == std::min(double(w.height), a.y + a.height));
    }
    // And all the way into the network's input.
    std::vector<float> pixels(80 * 80 * 3);
    Random one(20, uint64_t(round));
    const PreparedImage prepared = prepare_for_training(
        p.image, p.annotations, 80, 80, {.scale_min = 1, .scale_max = 1, .crop = 1}, one, pixels);
    const Image input = image_of(pixels, 80, 80);
    for (size_t i = 0; i < prepared.boxes.size(); ++i) {
      const Box box = prepared.boxes[i], there = seen(input, prepared.labels[i]);
      if (box.width() < 4 || box.height() < 4) continue;
      CHECK(std::abs(box.xmin - there.xmin) <= 1.5);
      CHECK(std::abs(box.xmax - there.xmax) <= 1.5);
      CHECK(std::abs(box.ymin - there.ymin) <= 1.5);
      CHECK(std::abs(box.ymax - there.ymax) <= 1.5);
    }
  }
  CHECK(kept > 250);
  CHECK(dropped > 30);
}

TEST_CASE("crops have the overlaps and shapes that SSD's have") {
  Image image(200, 100);
  const std::vector<Annotation> one{{20, 10, 120, 80, 9600, 0}};
  std::array<int, 6> at_least{};
  int whole = 0;
  constexpr int rounds = 1200;
  for (int round = 0; round < rounds; ++round) {
    Random random(14, uint64_t(round));
    const CropWindow w = random_crop(image, one, random);
    const double aspect = double(w.width) / 200 / (double(w.height) / 100);
    CHECK((aspect > 0.48 && aspect < 2.08));
    const double across = std::max(0, std::min(140, w.left + w.width) - std::max(20, w.left)),
                 down = std::max(0, std::min(90, w.top + w.height) - std::max(10, w.top));
    const double iou = across * down / (9600 + double(w.width) * w.height - across * down);
    // The way that was drawn says the least overlap.
    Random same(14, uint64_t(round));
    constexpr std::array least{0.1, 0.3, 0.5, 0.7, 0.9, 0.0};
    const size_t way = size_t(same.below(6));
    ++at_least[way];
    if (w.width == 200 && w.height == 100)
      ++whole;
    else
      CHECK(iou >= least[way]);
  }
  for (const int n : at_least) CHECK(n > rounds / 6 - 60);
  CHECK(whole > 150);  // 0.9 is hard to meet
  CHECK(whole < 450);
  // Without objects any part will do; crowd regions ask for nothing, and stay where a part of them is.
  Random random(15);
  const std::vector<Annotation> crowd{{0, 0, 200, 30, 6000, 0, true}};
  for (int round = 0; round < 50; ++round) {
    const CropWindow w = random_crop(image, crowd, random);
    CHECK((w.width < 200 || w.height < 100));
    CHECK(cut_out(image, crowd, w).size() == (w.top < 30 ? 1u : 0u));
  }
  // An object far too small for any overlap: the whole image, or a part around it.
  const std::vector<Annotation> tiny{{100, 50, 1, 1, 1, 0}};
  for (int round = 0; round < 50; ++round)
    CHECK(cut_out(image, tiny, random_crop(image, tiny, random)).size() == 1);
}

TEST_CASE("an image of prepared pixels is the image") {
  Random random(16);
  Image image(12, 10);
  for (uint8_t& value : image.pixels) value = uint8_t(random.below(256));
  std::vector<float> pixels(12 * 10 * 3);
  prepare_for_evaluation(image, {}, 10, 12, pixels);
  CHECK(image_of(pixels, 10, 12).pixels == image.pixels);
  CHECK_THROWS_WITH(image_of(pixels, 10, 13), Contains("13 x 10 pixels are not 360 floats"));
}
