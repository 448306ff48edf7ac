#include "train/report/mistake_images.h"

#include <algorithm>
#include <catch2/catch.hpp>

#include "train/report/draw.h"

using namespace fovea;

namespace {

Image grey_image() {
  Image image(300, 200);
  std::fill(image.pixels.begin(), image.pixels.end(), uint8_t(90));
  return image;
}

}  // namespace

TEST_CASE("mistakes have words, and correct detections only frames") {
  DetectionDataset truth;
  truth.class_names = {"cat", "dog"};
  truth.category_ids = {1, 2};
  truth.images = {{"images/a.jpg", 1, 300, 200, {}}};
  auto& objects = truth.images[0].annotations;
  objects = {{10, 50, 40, 40, 1600, 0}, {100, 50, 40, 40, 1600, 0}, {200, 50, 40, 40, 1600, 1}};
  const DatasetDetections found{
      {{10, 50, 40, 40, 0.9, 0}, {100, 50, 40, 40, 0.8, 1}, {10, 120, 40, 40, 0.75, 1}}};
  const Mistakes mistakes = find_mistakes(truth, found, 0.5);
  const Image image = grey_image();
  const ReportImage drawn =
      draw_mistakes(image, truth.images[0], found[0], mistakes.images[0], truth.class_names);
  CHECK(drawn.caption == "a.jpg");
  CHECK(drawn.why ==
        "1 missed (dog); 1 of the wrong class (cat taken for dog); 1 false alarm (dog where nothing is)");

  const std::vector<DrawnBox> drawn_truth{
      {10, 50, 50, 90, 0, ""}, {100, 50, 140, 90, 0, ""}, {200, 50, 240, 90, 1, "dog missed"}};
  CHECK(drawn.truth.pixels == draw_boxes(image, drawn_truth).pixels);
  const std::vector<DrawnBox> drawn_found{{10, 120, 50, 160, 1, "dog 0.75 not there"},
                                          {100, 50, 140, 90, 1, "dog 0.80, is cat"},
                                          {10, 50, 50, 90, 0, ""}};
  CHECK(drawn.detections.pixels == draw_boxes(image, drawn_found).pixels);
  // A frame without text does not change the pixels above it.
  for (int x = 0; x < 60; ++x) REQUIRE(int(drawn.truth.at(x, 40)[0]) == 90);
  int changed = 0;
  for (int x = 200; x < 260; ++x) changed += drawn.truth.at(x, 42)[0] != 90;
  CHECK(changed > 40);
}

TEST_CASE("the errors of each image as a table") {
  DetectionDataset truth;
  truth.class_names = {"cat"};
  truth.category_ids = {1};
  truth.images = {{"a.jpg", 1, 9, 9, {{0, 0, 4, 4, 16, 0}}}, {"b,\"c\".jpg", 2, 9, 9, {}}};
  const DatasetDetections found{{}, {{0, 0, 4, 4, 0.9, 0}}};
  CHECK(mistakes_csv(find_mistakes(truth, found, 0.5), truth) ==
        "image,missed,false_alarms,wrong_class\n"
        "a.jpg,1,0,0\n"
        "\"b,\"\"c\"\".jpg\",0,1,0\n");
}
