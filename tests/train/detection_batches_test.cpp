#include <catch2/catch.hpp>
#include <map>

#include "tests/support/test_data.h"
#include "train/data/image/image_io.h"
#include "train/detection/detection_batches.h"
#include "train/loop/device_batch.h"
#include "train/loop/resolve_config.h"

using namespace fovea;

namespace {

// Eight images of 64 x 64, with the numbers of objects in `objects` in turn. All are of class 0 except those
// of the last image, which are of class 1.
DetectionDataset squares(const std::string& folder, const std::vector<int>& objects) {
  DetectionDataset dataset;
  dataset.name = "squares";
  dataset.class_names = {"common", "rare"};
  dataset.category_ids = {1, 2};
  for (int i = 0; i < 8; ++i) {
    Image image(64, 64);
    std::fill(image.pixels.begin(), image.pixels.end(), uint8_t(30 * i));
    const std::string file = fmt::format("{}/{}.png", folder, i);
    write_image(file, image);
    LabelledImage labelled{file, i + 1, 64, 64, {}};
    for (int k = 0; k < objects[size_t(i)]; ++k)
      labelled.annotations.push_back({8.0 * k, 4.0 * k, 20, 20, 400, i == 7});
    dataset.images.push_back(labelled);
  }
  return dataset;
}

TrainConfig tiny_config() {
  TrainConfig config;
  config.data = "squares";
  config.model = "efficientdet_d-3";
  config.image_size = "64";
  config.batch_size = 4;
  config.steps = 10;
  return resolve_config(config, 8);
}

}  // namespace

TEST_CASE("a batch of mosaics is a function of seed and step, and has room for four images' objects") {
  const TemporaryFolder folder;
  const DetectionDataset dataset = squares(folder.path(), {5, 5, 5, 5, 5, 5, 5, 5});
  TrainConfig config = tiny_config();
  config.mosaic = 1;
  config.scale_min = config.scale_max = 0.25;  // all four are completely visible
  config.device = "cuda";
  const Detector detector(config, dataset.class_names);
  DetectionBatches batches(config, dataset, detector), again(config, dataset, detector);
  const Tensor images = batches.empty_images(0);
  for (const PreparedImage& mosaic : batches.images(3, images)) CHECK(mosaic.boxes.size() == 20);
  const Batch batch = batches.make(3);
  CHECK(batch.targets[0].shape() == Shape{4, 20, 4});
  const auto labels = batch.targets[1].values();
  for (const double label : labels) CHECK((label == 0 || label == 1));  // no entry is unused

  again.make(9);  // made in another order
  const Batch same = again.make(3);
  const auto pixels = [](const Batch& of) {
    DeviceBatch on_device(Device::cuda);
    on_device.load(of, 0);
    return on_device.batch().images.to(Device::cpu).values();
  };
  CHECK(pixels(same) == pixels(batch));
  CHECK(same.targets[0].values() == batch.targets[0].values());
  config.seed = 2;
  DetectionBatches other(config, dataset, detector);
  CHECK(pixels(other.make(3)) != pixels(batch));
}

TEST_CASE(
    "a mosaic draws its other images by their repeat factors, and its first in the order of the epoch") {
  const TemporaryFolder folder;
  const DetectionDataset dataset = squares(folder.path(), {1, 1, 1, 1, 1, 1, 1, 1});
  TrainConfig config = tiny_config();
  config.scale_min = config.scale_max = 0.25;
  config.repeat_threshold = 0.5;  // class 1 is in an eighth of the images: shown twice an epoch
  const Detector detector(config, dataset.class_names);
  DetectionBatches batches(config, dataset, detector);
  CHECK(batches.samples_per_epoch() == 9);
  const auto rare_among = [&](DetectionBatches& of, int64_t steps) {
    std::map<int32_t, int> seen;
    const Tensor images = of.empty_images(0);
    for (int64_t step = 0; step < steps; ++step)
      for (const PreparedImage& image : of.images(step, images))
        for (const int32_t label : image.labels) ++seen[label];
    return seen;
  };
  CHECK(rare_among(batches, 9) == std::map<int32_t, int>{{0, 28}, {1, 8}});  // four epochs of 7 + 2
  config.mosaic = 1;
  DetectionBatches mosaics(config, dataset, detector);
  auto seen = rare_among(mosaics, 90);  // 360 mosaics of four
  CHECK(seen[0] + seen[1] == 1440);
  CHECK(seen[1] == Approx(1440 * 2 / 9.0).margin(50));
}

TEST_CASE("mixed images have the boxes of both, with the given probability, also in mosaics") {
  const TemporaryFolder folder;
  const DetectionDataset dataset = squares(folder.path(), {5, 5, 5, 5, 5, 5, 5, 5});
  TrainConfig config = tiny_config();
  config.scale_min = config.scale_max = 0.25;  // everything is completely visible
  const Detector detector(config, dataset.class_names);
  // The number of images, of 400, by their number of boxes.
  const auto counted = [&](double mosaic, double mixup) {
    config.mosaic = mosaic;
    config.mixup = mixup;
    DetectionBatches batches(config, dataset, detector);
    const Tensor images = batches.empty_images(0);
    std::map<size_t, int> counts;
    for (int64_t step = 0; step < 100; ++step)
      for (const PreparedImage& image : batches.images(step, images)) ++counts[image.boxes.size()];
    return counts;
  };
  CHECK(counted(0, 1) == std::map<size_t, int>{{10, 400}});
  CHECK(counted(1, 1) == std::map<size_t, int>{{40, 400}});
  auto some = counted(0, 0.25);
  CHECK(some[5] + some[10] == 400);
  CHECK(some[10] == Approx(100).margin(30));  // its deviation is 9

  config.mosaic = config.mixup = 1;
  config.device = "cuda";
  const Detector on_device(config, dataset.class_names);
  DetectionBatches batches(config, dataset, on_device);
  CHECK(batches.make(0).targets[0].shape() == Shape{4, 40, 4});  // there is room for all of them
}

TEST_CASE("with every augmentation at 0 a batch is what only prepare_for_training makes") {
  const TemporaryFolder folder;
  const DetectionDataset dataset = squares(folder.path(), {1, 2, 3, 1, 2, 3, 1, 2});
  const TrainConfig config = tiny_config();
  const Detector detector(config, dataset.class_names);
  DetectionBatches batches(config, dataset, detector);
  const Tensor images = batches.empty_images(0);
  const std::vector<PreparedImage> prepared = batches.images(1, images);
  // Sample 4 of the first epoch: the order of the epoch and the augmentation have their own streams.
  const int64_t index = Random(1, uint64_t(2) << 56).permutation(8)[4];
  const Image image = read_image(dataset.images[size_t(index)].file);
  std::vector<float> pixels(64 * 64 * 3);
  Random random(1, (uint64_t(3) << 56) + 4);
  const PreparedImage alone =
      prepare_for_training(image, dataset.images[size_t(index)].annotations, 64, 64,
                           {.scale_min = config.scale_min, .scale_max = config.scale_max}, random, pixels);
  CHECK(alone.boxes == prepared[0].boxes);
  const auto batch = images.span<float>();
  CHECK(std::equal(pixels.begin(), pixels.end(), batch.begin()));
}
