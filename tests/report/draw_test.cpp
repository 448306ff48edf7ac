#include "train/report/draw.h"

#include <algorithm>
#include <array>
#include <catch2/catch.hpp>
#include <cmath>
#include <set>

using namespace fovea;
using Catch::Contains;

namespace {

const std::vector<std::string> names{"cat", "dog", "a class with a long name"};

using Rgb = std::array<int, 3>;

Rgb pixel(const Image& image, int x, int y) {
  const uint8_t* p = image.at(x, y);
  return {p[0], p[1], p[2]};
}

Image plain(int width, int height, uint8_t grey) {
  Image image(width, height);
  std::fill(image.pixels.begin(), image.pixels.end(), grey);
  return image;
}

int distance(const Rgb& a, const Rgb& b) {
  return std::abs(a[0] - b[0]) + std::abs(a[1] - b[1]) + std::abs(a[2] - b[2]);
}

Rgb frame_colour(int label) {
  const std::vector<std::string> many(100, "x");
  const Image drawn =
      draw_annotations(plain(100, 100, 0), std::vector<Annotation>{{10, 30, 60, 50, 0, label}}, many);
  return pixel(drawn, 10, 60);
}

}  // namespace

TEST_CASE("a frame lies just inside the box, and nothing far from it changes") {
  const Image grey = plain(200, 150, 90);
  const std::vector<Detection> detections{{{60, 40, 120, 160}, 0.9f, 1}};
  const Image drawn = draw_detections(grey, detections, names);
  REQUIRE(drawn.width == 200);
  REQUIRE(drawn.height == 150);
  const Rgb colour = frame_colour(1), background{90, 90, 90};
  for (const auto& [x, y] :
       {std::pair(40, 80), {41, 81}, {159, 100}, {158, 100}, {100, 119}, {100, 118}, {159, 119}})
    CHECK(pixel(drawn, x, y) == colour);
  for (const auto& [x, y] : {std::pair(39, 100), {42, 100}, {160, 100}, {157, 100}, {100, 117}, {100, 120}})
    CHECK(pixel(drawn, x, y)[0] == Approx(90 * 0.55).margin(1));  // the dark line on both sides
  for (const auto& [x, y] : {std::pair(37, 100), {44, 64}, {100, 100}, {162, 119}, {100, 122}, {100, 20}})
    CHECK(pixel(drawn, x, y) == background);
  CHECK(pixel(grey, 40, 60) == background);  // the given image is not changed
}

TEST_CASE("the name and score are on a plate above the box, or inside it at the top edge") {
  const Rgb colour = frame_colour(0);
  const auto count = [&](const Image& image, int top, int bottom, auto&& wanted) {
    int n = 0;
    for (int y = top; y < bottom; ++y)
      for (int x = 0; x < image.width; ++x) n += wanted(pixel(image, x, y));
    return n;
  };
  const auto is_plate = [&](const Rgb& p) { return p == colour; };
  const auto is_ink = [](const Rgb& p) { return p == Rgb{0, 0, 0} || p == Rgb{255, 255, 255}; };
  const std::vector<Detection> below{{{60, 40, 120, 160}, 0.87f, 0}}, at_top{{{2, 40, 120, 160}, 0.87f, 0}};
  const Image above = draw_detections(plain(200, 150, 90), below, names);
  CHECK(count(above, 48, 60, is_plate) > 250);
  CHECK(count(above, 48, 60, is_ink) > 60);
  CHECK(count(above, 0, 47, is_plate) == 0);
  const Image inside = draw_detections(plain(200, 150, 90), at_top, names);
  CHECK(count(inside, 2, 14, is_ink) == count(above, 48, 60, is_ink));  // the same text

  // Letters grow with the image, and the text depends on the score.
  const Image large = draw_detections(plain(640, 480, 90), below, names);
  CHECK(count(large, 36, 60, is_ink) == 4 * count(above, 48, 60, is_ink));
  const std::vector<Detection> other{{{60, 40, 120, 160}, 0.11f, 0}};
  CHECK(count(draw_detections(plain(200, 150, 90), other, names, 0.1), 48, 60, is_ink) !=
        count(above, 48, 60, is_ink));

  // At the right edge the plate moves left, so that its end is readable.
  const std::vector<Detection> right{{{60, 190, 120, 199}, 0.87f, 0}};
  CHECK(count(draw_detections(plain(200, 150, 90), right, names), 48, 60, is_ink) ==
        count(above, 48, 60, is_ink));
}

TEST_CASE("only detections of enough score are drawn, the best on top") {
  const Image black = plain(120, 100, 0);
  const std::vector<Detection> detections{
      {{30, 10, 90, 80}, 0.9f, 0}, {{30, 10, 90, 80}, 0.5f, 1}, {{20, 90, 90, 110}, 0.29f, 2}};
  const Image drawn = draw_detections(black, detections, names);
  CHECK(pixel(drawn, 10, 60) == frame_colour(0));
  CHECK(pixel(drawn, 90, 60) == Rgb{0, 0, 0});
  CHECK(pixel(draw_detections(black, detections, names, 0.29f), 90, 60) == frame_colour(2));
  CHECK(draw_detections(black, detections, names, 0.95).pixels == black.pixels);
  CHECK(draw_detections(black, {}, names).pixels == black.pixels);
}

TEST_CASE("annotations are drawn in the colours of detections, crowds dashed") {
  const Image black = plain(200, 150, 0);
  const std::vector<Detection> detections{{{40, 30, 120, 160}, 0.9f, 1}};
  std::vector<Annotation> annotations{{30, 40, 130, 80, 0, 1}};
  const auto left_edge = [&](const Image& image) {
    int n = 0;
    for (int y = 60; y < 116; ++y) n += pixel(image, 30, y) == frame_colour(1);
    return n;
  };
  CHECK(left_edge(draw_detections(black, detections, names)) == 56);
  CHECK(left_edge(draw_annotations(black, annotations, names)) == 56);
  annotations[0].crowd = true;
  CHECK(left_edge(draw_annotations(black, annotations, names)) == 28);
}

TEST_CASE("colours of classes are bright and distinct") {
  std::set<Rgb> seen;
  for (int label = 0; label < 100; ++label) {
    const Rgb colour = frame_colour(label);
    seen.insert(colour);
    CHECK(*std::max_element(colour.begin(), colour.end()) > 200);
    if (label < 6)
      for (int other = 0; other < label; ++other) CHECK(distance(colour, frame_colour(other)) > 60);
  }
  CHECK(seen.size() > 95);
}

TEST_CASE("boxes over the edge, tiny, outside or NaN, and names in any script") {
  const Image grey = plain(60, 40, 90);
  const float infinity = INFINITY;
  const std::vector<Detection> odd{
      {{-50, -50, 500, 500}, 0.9f, 0},  {{10, 10, 10.2f, 10.2f}, 0.9f, 1},
      {{100, 100, 120, 120}, 0.9f, 2},  {{20, 20, 10, 10}, 0.9f, 0},
      {{NAN, NAN, NAN, NAN}, 0.9f, 1},  {{-infinity, -infinity, infinity, infinity}, 0.9f, 0},
      {{39.5f, 59.5f, 80, 80}, 0.9f, 2}};
  CHECK(draw_detections(grey, odd, names).pixels != grey.pixels);
  CHECK(pixel(draw_detections(grey, std::span(odd).first(1), names), 0, 30) == frame_colour(0));
  const std::vector<Detection> outside{odd[2], odd[3], odd[4]};
  CHECK(draw_detections(grey, outside, names).pixels == grey.pixels);

  const std::vector<Detection> one{{{20, 2, 38, 50}, 0.5f, 0}};
  const auto with_name = [&](const std::string& name) { return draw_detections(grey, one, {name}).pixels; };
  CHECK(with_name("\xC3\xA9\xE7\x8C\xAB\n") == with_name("???"));  // two characters and a line break
  CHECK(with_name("") != with_name("a"));
  CHECK(with_name(std::string(5000, 'W')).size() == grey.pixels.size());

  CHECK_THROWS_WITH(draw_detections(grey, std::vector<Detection>{{{0, 0, 9, 9}, 0.9f, 3}}, names),
                    Contains("label 3, but there are 3 class names"));
  CHECK_THROWS_WITH(draw_annotations(grey, std::vector<Annotation>{{0, 0, 9, 9, 0, -1}}, names),
                    Contains("label -1, but there are 3"));
}
