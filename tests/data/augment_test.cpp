#include "train/data/augment/augment.h"

#include <algorithm>
#include <array>
#include <catch2/catch.hpp>
#include <cmath>

#include "core/random.h"

using namespace fovea;
using Catch::Contains;

namespace {

constexpr std::array mean{0.485, 0.456, 0.406}, deviation{0.229, 0.224, 0.225};

Image noise(int width, int height, uint64_t seed) {
  Image image(width, height);
  Random random(seed);
  for (uint8_t& value : image.pixels) value = uint8_t(random.below(256));
  return image;
}

// The prepared pixels as bytes again (real-valued); the padding is the mean colour then.
class Canvas {
 public:
  Canvas(int height, int width) : height_(height), width_(width), pixels_(size_t(height) * width * 3, NAN) {}
  std::span<float> pixels() { return pixels_; }
  int height() const { return height_; }
  int width() const { return width_; }
  double at(int x, int y, int c) const {
    return (raw(x, y, c) * deviation[size_t(c)] + mean[size_t(c)]) * 255;
  }
  float raw(int x, int y, int c) const { return pixels_[(size_t(y) * width_ + x) * 3 + c]; }

 private:
  int height_, width_;
  std::vector<float> pixels_;
};

double triangle(double distance, double support) { return std::max(0.0, 1 - std::abs(distance) / support); }

// The definition: each output pixel the weighted mean of all pixels of the image, by a triangle around its
// centre.
double filtered(const Image& image, double centre_x, double centre_y, double step, int c) {
  const double support = std::max(step, 1.0);
  double sum = 0, weights = 0;
  for (int y = 0; y < image.height; ++y)
    for (int x = 0; x < image.width; ++x) {
      const double weight = triangle(x + 0.5 - centre_x, support) * triangle(y + 0.5 - centre_y, support);
      sum += weight * image.at(x, y)[c];
      weights += weight;
    }
  return sum / weights;
}

Image white_rectangle(int width, int height, int left, int top, int right, int bottom) {
  Image image(width, height);
  for (int y = top; y < bottom; ++y)
    for (int x = left; x < right; ++x) std::fill_n(image.at(x, y), 3, uint8_t(255));
  return image;
}

// The edges of the part that is at least half white; the padding, the mean colour, is less.
Box bright_part(const Canvas& canvas) {
  Box box{1e9f, 1e9f, -1, -1};
  for (int y = 0; y < canvas.height(); ++y)
    for (int x = 0; x < canvas.width(); ++x)
      if (canvas.at(x, y, 0) > 127) {
        box.ymin = std::min(box.ymin, float(y)), box.xmin = std::min(box.xmin, float(x));
        box.ymax = std::max(box.ymax, float(y + 1)), box.xmax = std::max(box.xmax, float(x + 1));
      }
  return box;
}

}  // namespace

TEST_CASE("an image of the network's size is only normalised") {
  const Image image = noise(20, 12, 1);
  Canvas canvas(12, 20);
  const PreparedImage prepared = prepare_for_evaluation(image, {}, 12, 20, canvas.pixels());
  CHECK(prepared.frame.scale == 1);
  CHECK(prepared.frame.height == 12);
  CHECK(prepared.frame.width == 20);
  for (int y = 0; y < 12; ++y)
    for (int x = 0; x < 20; ++x)
      for (int c = 0; c < 3; ++c)
        REQUIRE(canvas.raw(x, y, c) ==
                Approx((image.at(x, y)[c] / 255.0 - mean[size_t(c)]) / deviation[size_t(c)]).margin(1e-5));
}

TEST_CASE("halving takes a triangle of four pixels") {
  const Image image = noise(16, 16, 2);
  Canvas canvas(8, 8);
  prepare_for_evaluation(image, {}, 8, 8, canvas.pixels());
  constexpr std::array weights{1 / 8.0, 3 / 8.0, 3 / 8.0, 1 / 8.0};
  for (int y = 1; y < 7; ++y)
    for (int x = 1; x < 7; ++x) {
      double sum = 0;
      for (int i = 0; i < 4; ++i)
        for (int j = 0; j < 4; ++j)
          sum += weights[size_t(i)] * weights[size_t(j)] * image.at(2 * x - 1 + j, 2 * y - 1 + i)[1];
      REQUIRE(canvas.at(x, y, 1) == Approx(sum).margin(1e-3));
    }
  // At the edge the pixel outside is missing and the others share its weight.
  double edge = 0;
  for (int i = 0; i < 4; ++i)
    for (int j = 1; j < 4; ++j)
      edge += weights[size_t(i)] * weights[size_t(j)] / (7 / 8.0) * image.at(j - 1, 5 + i)[0];
  CHECK(canvas.at(0, 3, 0) == Approx(edge).margin(1e-3));
}

TEST_CASE("the letterbox is the triangle filter in the top left corner, mean colour elsewhere") {
  struct Case {
    int image_width, image_height, width, height, shown_width, shown_height;
  };
  const Case cases[] = {{37, 23, 16, 16, 16, 10}, {23, 37, 16, 16, 10, 16}, {9, 7, 30, 24, 30, 23},
                        {100, 1, 16, 16, 16, 1},  {1, 1, 5, 9, 5, 5},       {64, 48, 24, 40, 24, 18},
                        {1, 300, 16, 20, 1, 20},  {2, 3, 3, 2, 1, 2}};
  for (const Case& c : cases) {
    CAPTURE(c.image_width, c.image_height, c.width, c.height);
    const Image image = noise(c.image_width, c.image_height, 3);
    Canvas canvas(c.height, c.width);
    const PreparedImage prepared = prepare_for_evaluation(image, {}, c.height, c.width, canvas.pixels());
    const double scale = std::min(double(c.width) / c.image_width, double(c.height) / c.image_height);
    CHECK(prepared.frame.scale == Approx(scale).epsilon(1e-12));
    for (int y = 0; y < c.height; ++y)
      for (int x = 0; x < c.width; ++x)
        if (x < c.shown_width && y < c.shown_height)
          REQUIRE(canvas.at(x, y, 2) ==
                  Approx(filtered(image, (x + 0.5) / scale, (y + 0.5) / scale, 1 / scale, 2)).margin(2e-3));
        else
          REQUIRE(canvas.raw(x, y, 2) == 0);
  }
}

TEST_CASE("evaluation scales the boxes and leaves out what has no area") {
  const std::vector<Annotation> annotations{
      {.x = 10, .y = 20, .width = 30, .height = 40, .label = 4},
      {.x = -10, .y = 50, .width = 30, .height = 100, .label = 1},  // cut off at the image's edges
      {.x = 90, .y = 10, .width = 0.1, .height = 0.1, .label = 2},  // tiny, but an object
      {.x = 100, .y = 10, .width = 5, .height = 5, .label = 3},     // beside the image
      {.x = 30, .y = 30, .width = 0, .height = 9, .label = 3},      // no area
      {.x = 30, .y = 30, .width = -8, .height = 9, .label = 3},     // reversed
      {.x = 30, .y = NAN, .width = 8, .height = 9, .label = 3},     // nowhere
      {.x = 0, .y = 0, .width = 50, .height = 50, .label = 3, .crowd = true}};  // apart
  Canvas canvas(40, 50);
  const PreparedImage prepared =
      prepare_for_evaluation(noise(100, 80, 4), annotations, 40, 50, canvas.pixels());
  CHECK(prepared.labels == std::vector<int32_t>{4, 1, 2});
  REQUIRE(prepared.boxes.size() == 3);
  CHECK(prepared.boxes[0] == Box{10, 5, 30, 20});
  CHECK(prepared.boxes[1] == Box{25, 0, 40, 10});
  CHECK(prepared.boxes[2] == Box{5, 45, 5.05f, 45.05f});
  CHECK(prepared.crowds == std::vector{Box{0, 0, 25, 25}});
}

TEST_CASE("a flip mirrors image and boxes") {
  const Image image = noise(31, 19, 5);
  const std::vector<Annotation> annotations{{.x = 3, .y = 4, .width = 10, .height = 5}};
  const AugmentOptions options{.scale_min = 1, .scale_max = 1};
  bool seen[2] = {};
  std::vector<Canvas> canvases(2, Canvas(19, 31));
  for (uint64_t stream = 0; !seen[0] || !seen[1]; ++stream) {
    REQUIRE(stream < 64);  // both happen with probability 1 - 2^-63
    Random random(1, stream);
    const bool flipped = Random(1, stream).chance(0.5);
    const PreparedImage prepared =
        prepare_for_training(image, annotations, 19, 31, options, random, canvases[flipped].pixels());
    REQUIRE(prepared.boxes.size() == 1);
    CHECK(prepared.boxes[0] == (flipped ? Box{4, 18, 9, 28} : Box{4, 3, 9, 13}));
    seen[flipped] = true;
  }
  for (int y = 0; y < 19; ++y)
    for (int x = 0; x < 31; ++x)
      for (int c = 0; c < 3; ++c)
        REQUIRE(canvases[0].raw(x, y, c) == Approx(canvases[1].raw(30 - x, y, c)).margin(1e-5));

  Random random(1, 0);
  Canvas canvas(19, 31);
  for (int i = 0; i < 20; ++i) {
    const AugmentOptions still{.horizontal_flip = false, .scale_min = 1, .scale_max = 1};
    const auto prepared = prepare_for_training(image, annotations, 19, 31, still, random, canvas.pixels());
    CHECK(prepared.boxes[0] == Box{4, 3, 9, 13});
  }
}

TEST_CASE("boxes follow the image through random augmentations") {
  Random random(6);
  int found = 0, cropped = 0, reduced = 0, dropped = 0;
  for (int i = 0; i < 400; ++i) {
    const int width = 40 + int(random.below(80)), height = 40 + int(random.below(80));
    const int left = int(random.below(width - 8)), top = int(random.below(height - 8));
    const int right = left + 8 + int(random.below(width - left - 7)),
              bottom = top + 8 + int(random.below(height - top - 7));
    const std::vector<Annotation> annotations{{.x = double(left),
                                               .y = double(top),
                                               .width = double(right - left),
                                               .height = double(bottom - top),
                                               .label = 2}};
    Canvas canvas(64, 80);
    const PreparedImage prepared =
        prepare_for_training(white_rectangle(width, height, left, top, right, bottom), annotations, 64, 80,
                             {.vertical_flip = i % 2 == 1}, random, canvas.pixels());
    const Box seen = bright_part(canvas);
    if (prepared.boxes.empty()) {
      ++dropped;
      CHECK((seen.xmax <= seen.xmin || seen.width() <= 2 || seen.height() <= 2));
      continue;
    }
    const Box box = prepared.boxes[0];
    CHECK(box.width() >= 1);
    CHECK(box.height() >= 1);
    CHECK(prepared.labels == std::vector{2});
    const double scale = prepared.frame.scale;
    reduced += scale * std::max(width / 80.0, height / 64.0) < 1;
    cropped += width * scale > 80 || height * scale > 64;
    // Half of the brightness lies on the edge, so the bright part ends within a pixel of it; a box of a pixel
    // or two may be nowhere half bright.
    if (box.width() < 3 || box.height() < 3) continue;
    ++found;
    CAPTURE(i, width, height, scale, box.xmin, box.ymin, box.xmax, box.ymax, seen.xmin, seen.ymin, seen.xmax,
            seen.ymax);
    CHECK(std::abs(box.xmin - seen.xmin) <= 1);
    CHECK(std::abs(box.xmax - seen.xmax) <= 1);
    CHECK(std::abs(box.ymin - seen.ymin) <= 1);
    CHECK(std::abs(box.ymax - seen.ymax) <= 1);
  }
  CHECK(found > 250);
  CHECK(cropped > 100);
  CHECK(reduced > 100);
  CHECK(dropped > 10);
}

TEST_CASE("scale jitter is uniform between its ends, crops lie anywhere, the seed decides") {
  const Image image = noise(64, 48, 7);
  Canvas canvas(32, 32), again(32, 32);
  double low = 10, high = 0, sum = 0;
  bool at_left = false, at_right = false;
  const std::vector<Annotation> annotations{{.x = 0, .y = 0, .width = 64, .height = 48}};
  for (uint64_t stream = 0; stream < 500; ++stream) {
    Random random(2, stream);
    const auto prepared = prepare_for_training(image, annotations, 32, 32, {}, random, canvas.pixels());
    const double factor = prepared.frame.scale * 2;  // 64 px to 32
    low = std::min(low, factor), high = std::max(high, factor), sum += factor;
    REQUIRE(prepared.boxes.size() == 1);
    CHECK(prepared.boxes[0].xmax == Approx(std::min(32.0, 32 * factor)));  // a crop stays inside the image
    CHECK(prepared.boxes[0].ymax == Approx(std::min(32.0, 24 * factor)));

    // Where the left half ends tells the crop's offset.
    Random same(2, stream);
    const std::vector<Annotation> half{{.x = 0, .y = 0, .width = 32, .height = 48}};
    const AugmentOptions large{.horizontal_flip = false, .scale_min = 2, .scale_max = 2};
    const auto crop = prepare_for_training(image, half, 32, 32, large, same, again.pixels());
    const float end = crop.boxes.empty() ? 0 : crop.boxes[0].xmax;
    at_left |= end > 30, at_right |= end < 2;
  }
  CHECK(low == Approx(0.1).margin(0.02));
  CHECK(high == Approx(2).margin(0.02));
  CHECK(sum / 500 == Approx(1.05).margin(0.08));
  CHECK(at_left);
  CHECK(at_right);

  Random first(3, 9), second(3, 9);
  prepare_for_training(image, annotations, 32, 32, {}, first, canvas.pixels());
  prepare_for_training(image, annotations, 32, 32, {}, second, again.pixels());
  CHECK(std::equal(canvas.pixels().begin(), canvas.pixels().end(), again.pixels().begin()));
  CHECK(first.position() == second.position());
}

TEST_CASE("a classifier's input is the middle in evaluation, a random part in training") {
  const Image image = noise(80, 60, 8);
  Canvas canvas(28, 28);
  Random random(4);
  prepare_for_classification(image, 28, {}, random, canvas.pixels());
  CHECK(random.position() == 0);
  const double side = 60 * 0.875, step = side / 28;
  for (int y = 0; y < 28; y += 3)
    for (int x = 0; x < 28; x += 3)
      REQUIRE(canvas.at(x, y, 0) == Approx(filtered(image, 40 - side / 2 + (x + 0.5) * step,
                                                    30 - side / 2 + (y + 0.5) * step, step, 0))
                                        .margin(2e-3));

  const ClassifierAugmentation both{.random_crop = true, .horizontal_flip = true};
  // On two ramps the ends of each output row and column tell which part was taken.
  Image ramp(200, 150);
  for (int y = 0; y < 150; ++y)
    for (int x = 0; x < 200; ++x) ramp.at(x, y)[0] = uint8_t(x), ramp.at(x, y)[1] = uint8_t(y);
  double smallest = 1, largest = 0;
  int flips = 0;
  for (int i = 0; i < 300; ++i) {
    prepare_for_classification(ramp, 28, both, random, canvas.pixels());
    const double across = canvas.at(20, 14, 0) - canvas.at(7, 14, 0),
                 down = canvas.at(14, 20, 1) - canvas.at(14, 7, 1);
    flips += across < 0;
    const double width = std::abs(across) * 28 / 13, height = down * 28 / 13;
    const double area = width * height / (200 * 150);
    REQUIRE(width / height == Approx(1).epsilon(0.37));  // 3/4 to 4/3, and some for rounding to bytes
    smallest = std::min(smallest, area), largest = std::max(largest, area);
  }
  CHECK(flips > 110);
  CHECK(flips < 190);
  CHECK(smallest > 0.075);
  CHECK(smallest < 0.15);
  CHECK(largest > 0.8);
  CHECK(largest <= 1.01);

  prepare_for_classification(noise(400, 3, 9), 28, both, random,
                             canvas.pixels());  // no part has such an aspect
  for (float value : canvas.pixels()) REQUIRE(std::isfinite(value));
}

TEST_CASE("an image of any size that is evaluated flipped has its objects back where they are") {
  // Objects at all edges and inside, by the anchors that they would be found with.
  for (const auto& [width, height] : {std::pair{61, 37}, {37, 61}, {31, 19}, {400, 3}, {1, 1}}) {
    CAPTURE(width, height);
    const Image image = noise(width, height, 7);
    const double w = width, h = height;
    const std::vector<Annotation> annotations{{.x = 0, .y = 0, .width = w / 2, .height = h / 3},
                                              {.x = w / 2, .y = h / 3, .width = w / 2, .height = 2 * h / 3},
                                              {.x = w / 4, .y = h / 4, .width = w / 3, .height = h / 2}};
    Canvas flipped(48, 64);
    for (const Flip flip : {Flip{}, Flip{.horizontal = true}, Flip{.vertical = true}, Flip{true, true}}) {
      const PreparedImage prepared =
          prepare_for_evaluation(image, annotations, 48, 64, flipped.pixels(), flip);
      CHECK(prepared.frame.flip == flip);
      REQUIRE(prepared.boxes.size() == annotations.size());
      const std::vector<float> codes(prepared.boxes.size() * 4, 0), logits{3, 2, 1};
      const auto found = detect(logits, codes, prepared.boxes, 1, prepared.frame, {.iou_threshold = 1});
      REQUIRE(found.size() == annotations.size());
      for (size_t i = 0; i < found.size(); ++i) {
        const Annotation& truth = annotations[i];
        const Box& box = found[i].box;
        CHECK(box.xmin == Approx(truth.x).margin(1e-4));
        CHECK(box.ymin == Approx(truth.y).margin(1e-4));
        CHECK(box.xmax == Approx(truth.x + truth.width).margin(1e-4));
        CHECK(box.ymax == Approx(truth.y + truth.height).margin(1e-4));
      }
    }
  }
}

TEST_CASE("flips of evaluation show what a flipped image does") {
  for (const auto& [width, height] : {std::pair(24, 16), {37, 23}, {23, 37}, {9, 7}}) {
    CAPTURE(width, height);
    const Image image = noise(width, height, 11);
    const Annotation box{.x = 1.5, .y = 2, .width = 5, .height = 3, .label = 1};
    for (const Flip flip : {Flip{true, false}, Flip{false, true}, Flip{true, true}}) {
      Image turned(width, height);
      for (int y = 0; y < height; ++y)
        for (int x = 0; x < width; ++x)
          std::copy_n(image.at(flip.horizontal ? width - 1 - x : x, flip.vertical ? height - 1 - y : y), 3,
                      turned.at(x, y));
      Annotation turned_box = box;
      if (flip.horizontal) turned_box.x = width - box.x - box.width;
      if (flip.vertical) turned_box.y = height - box.y - box.height;

      Canvas expected(16, 24), found(16, 24), square(8, 8), found_square(8, 8);
      const auto plain = prepare_for_evaluation(turned, std::span(&turned_box, 1), 16, 24, expected.pixels());
      const auto flipped = prepare_for_evaluation(image, std::span(&box, 1), 16, 24, found.pixels(), flip);
      prepare_for_classification(turned, 8, square.pixels());
      prepare_for_classification(image, 8, found_square.pixels(), flip);
      double worst = 0;
      for (size_t i = 0; i < found.pixels().size(); ++i)
        worst = std::max(worst, double(std::abs(found.pixels()[i] - expected.pixels()[i])));
      for (size_t i = 0; i < square.pixels().size(); ++i)
        worst = std::max(worst, double(std::abs(found_square.pixels()[i] - square.pixels()[i])));
      CHECK(worst < 1e-4);
      CHECK(flipped.frame.flip == flip);
      CHECK(plain.frame.flip == Flip{});
      CHECK(flipped.frame.scale == plain.frame.scale);
      REQUIRE(flipped.boxes.size() == 1);
      CHECK(flipped.boxes[0].xmin == Approx(plain.boxes[0].xmin));
      CHECK(flipped.boxes[0].ymax == Approx(plain.boxes[0].ymax));
    }
  }
}

TEST_CASE("a classifier's images are flipped or cropped, each without the other") {
  const Image image = noise(48, 40, 5);
  Canvas plain(24, 24), varied(24, 24);
  prepare_for_classification(image, 24, plain.pixels());
  Random random(6);
  int flips = 0;
  for (int i = 0; i < 40; ++i) {
    prepare_for_classification(image, 24, {.horizontal_flip = true}, random, varied.pixels());
    const bool flipped = varied.at(0, 0, 0) != plain.at(0, 0, 0);
    flips += flipped;
    for (int y = 0; y < 24; ++y)
      for (int x = 0; x < 24; ++x)
        REQUIRE(varied.at(x, y, 1) == Approx(plain.at(flipped ? 23 - x : x, y, 1)).margin(0.01));
  }
  CHECK(flips > 8);
  CHECK(flips < 32);

  Image ramp(100, 100);
  for (int y = 0; y < 100; ++y)
    for (int x = 0; x < 100; ++x) ramp.at(x, y)[0] = uint8_t(2 * x);
  for (int i = 0; i < 40; ++i) {
    prepare_for_classification(ramp, 24, {.random_crop = true}, random, varied.pixels());
    CHECK(varied.at(0, 12, 0) < varied.at(23, 12, 0));
  }
}

TEST_CASE("augmentation refuses sizes and options that make no sense") {
  std::vector<float> pixels(16 * 16 * 3);
  const Image image(8, 8);
  Random random;
  CHECK_THROWS_WITH(prepare_for_evaluation(Image(), {}, 16, 16, pixels),
                    Contains("the image is 0 x 0 pixels"));
  CHECK_THROWS_WITH(prepare_for_evaluation(image, {}, 16, 17, pixels),
                    Contains("the output is 17 x 16 pixels in 768 floats"));
  CHECK_THROWS_WITH(prepare_for_classification(image, 0, std::span<float>()),
                    Contains("the output is 0 x 0"));
  CHECK_THROWS_WITH(prepare_for_training(image, {}, 16, 16, {.scale_min = 0, .scale_max = 1}, random, pixels),
                    Contains("the scale jitter is 0 to 1"));
  CHECK_THROWS_WITH(
      prepare_for_training(image, {}, 16, 16, {.scale_min = 1.5, .scale_max = 1}, random, pixels),
      Contains("the scale jitter is 1.5 to 1"));
  CHECK_THROWS_WITH(
      prepare_for_training(image, {}, 16, 16, {.scale_min = 1, .scale_max = INFINITY}, random, pixels),
      Contains("the scale jitter is 1 to inf"));
}
