// The results of networks for an image and its flips together: test_time_flips(), Detector and Classifier.
#include <catch2/catch.hpp>
#include <cmath>

#include "core/random.h"
#include "models/weighted_box_fusion.h"
#include "tests/support/shapes.h"
#include "train/classification/classifier.h"
#include "train/data/dataset.h"
#include "train/detection/detector.h"

using namespace fovea;
using Catch::Contains;

namespace {

constexpr int side = 64;
const std::vector<Flip> mirrored{{}, {.horizontal = true}},
    all{{}, {.horizontal = true}, {.vertical = true}, {true, true}};

Image noise(int width, int height, uint64_t seed) {
  Image image(width, height);
  Random random(seed);
  for (uint8_t& value : image.pixels) value = uint8_t(random.below(256));
  return image;
}

Image flipped(const Image& image, const Flip& flip) {
  Image result(image.width, image.height);
  for (int y = 0; y < image.height; ++y)
    for (int x = 0; x < image.width; ++x)
      std::copy_n(
          image.at(flip.horizontal ? image.width - 1 - x : x, flip.vertical ? image.height - 1 - y : y), 3,
          result.at(x, y));
  return result;
}

Box flipped(const Box& box, const Image& image, const Flip& flip) {
  Box result = box;
  if (flip.horizontal)
    result.xmin = float(image.width) - box.xmax, result.xmax = float(image.width) - box.xmin;
  if (flip.vertical)
    result.ymin = float(image.height) - box.ymax, result.ymax = float(image.height) - box.ymin;
  return result;
}

// Random weights, which give other results for a mirrored image.
Detector detector_on(Device device) {
  TrainConfig config;
  config.model = "efficientdet_d-3";
  config.image_size = std::to_string(side);
  config.device = name(device);
  config.precision = "float32";  // in bfloat16 many scores are equal, and their order is another
  Detector detector(config, {"a", "b"});
  detector.model().set_training(false);
  return detector;
}

// The largest difference of edges and scores, or infinity if the lists do not correspond.
double difference(const std::vector<Detection>& a, const std::vector<Detection>& b) {
  if (a.size() != b.size()) return INFINITY;
  double worst = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    if (a[i].label != b[i].label) return INFINITY;
    worst = std::max(worst, std::abs(double(a[i].score) - b[i].score));
    for (float Box::*edge : {&Box::ymin, &Box::xmin, &Box::ymax, &Box::xmax})
      worst = std::max(worst, std::abs(double(a[i].box.*edge) - b[i].box.*edge));
  }
  return worst;
}

}  // namespace

TEST_CASE("the views of an image are those of the training") {
  TrainConfig config;
  CHECK(test_time_flips(config) == mirrored);
  config.vertical_flip = true;
  CHECK(test_time_flips(config) == all);
  config.horizontal_flip = false;
  CHECK(test_time_flips(config) == std::vector<Flip>{{}, {.vertical = true}});
  config.vertical_flip = false;
  CHECK_THROWS_WITH(test_time_flips(config), Contains("neither `horizontal_flip` nor `vertical_flip`"));
}

TEST_CASE("the detections in an image and its flips flip with the image") {
  const Device device = GENERATE(Device::cpu, Device::cuda);
  Detector detector = detector_on(device);
  const Image image = noise(side, side, 3);
  const DetectOptions options{.max_detections = 20};
  for (const std::vector<Flip>& views : {mirrored, all})
    for (const Flip& flip : views) {
      if (flip == Flip{}) continue;
      auto back = detector.detect(flipped(image, flip), options, views);
      for (Detection& d : back) d.box = flipped(d.box, image, flip);
      const auto found = detector.detect(image, options, views);
      REQUIRE(found.size() > 5);
      CHECK(difference(found, back) < 1e-3);
      // Without its flips the network gives other results for the flipped image.
      auto single = detector.detect(flipped(image, flip), options);
      for (Detection& d : single) d.box = flipped(d.box, image, flip);
      CHECK(difference(detector.detect(image, options), single) > 0.01);
    }
}

TEST_CASE("the views of an image are evaluated one by one and fused") {
  const Device device = GENERATE(Device::cpu, Device::cuda);
  Detector detector = detector_on(device);
  const Image image = noise(61, 37, 4);  // letterboxed
  std::vector<std::vector<Detection>> each;
  for (const Flip& flip : all) {
    each.push_back(detector.detect(flipped(image, flip)));
    for (Detection& d : each.back()) d.box = flipped(d.box, image, flip);
  }
  CHECK(difference(detector.detect(image, {}, all), weighted_box_fusion(each)) < 1e-3);
  CHECK(difference(detector.detect(image, {}, unflipped), each[0]) == 0);
}

TEST_CASE("the images of a data set are evaluated as if each were single, however many views there are") {
  const Device device = GENERATE(Device::cpu, Device::cuda);
  Detector detector = detector_on(device);
  DetectionDataset dataset = open_dataset(shapes(), "train");
  dataset.images.resize(3);  // no multiple of the images at once
  for (const std::vector<Flip>& views : {std::vector<Flip>{{}}, mirrored, all}) {
    ImageCache images(files_of(dataset), 1 << 24);
    int64_t last = 0;
    const auto found = detect_dataset(
        detector, dataset, images, 1, {}, [&](int64_t done, int64_t) { last = done; }, single_process(),
        views);
    REQUIRE(found.size() == dataset.images.size());
    CHECK(last == 3);
    for (size_t i = 0; i < found.size(); ++i)
      CHECK(difference(found[i], detector.detect(*images.get(i), {}, views)) < 1e-3);
  }
}

TEST_CASE("a classifier's probabilities are the mean over the views") {
  TrainConfig config;
  config.task = "classification";
  config.model = "efficientnet_b-3";
  config.image_size = "32";
  config.device = GENERATE("cpu", "cuda");
  config.precision = "float32";
  Classifier classifier(config, {"a", "b", "c"});
  classifier.model().set_training(false);
  const Image image = noise(40, 48, 6);
  std::vector<double> mean(3, 0);
  for (const Flip& flip : all) {
    const auto probabilities = classifier.classify(flipped(image, flip));
    for (size_t i = 0; i < 3; ++i) mean[i] += probabilities[i] / 4;
  }
  const auto together = classifier.classify(image, all), plain = classifier.classify(image);
  double difference = 0;
  for (size_t i = 0; i < 3; ++i) {
    CHECK(together[i] == Approx(mean[i]).margin(2e-7));
    difference = std::max(difference, std::abs(together[i] - plain[i]));
  }
  CHECK(difference > 1e-6);  // little, of random weights
}
