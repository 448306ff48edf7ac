#include "train/data/held_out.h"

#include <catch2/catch.hpp>
#include <numeric>

#include "core/error.h"
#include "core/file.h"
#include "core/random.h"
#include "tests/support/test_data.h"
#include "train/data/coco.h"
#include "train/data/image/image_io.h"

using namespace fovea;
using Catch::Contains;

namespace {

// 100 images: all have class 0, every tenth class 1; the last ten have no object.
DetectionDataset hundred() {
  DetectionDataset dataset{.name = "hundred", .class_names = {"often", "rare"}, .category_ids = {1, 2}};
  for (int i = 0; i < 100; ++i) {
    LabelledImage image{.file = fmt::format("{}.png", i), .id = i + 1, .width = 64, .height = 48};
    if (i < 90) image.annotations.push_back({.width = 9, .height = 9, .label = 0});
    if (i % 10 == 0) image.annotations.push_back({.width = 9, .height = 9, .label = 1});
    dataset.images.push_back(image);
  }
  return dataset;
}

std::vector<size_t> each_alone(size_t count) {
  std::vector<size_t> groups(count);
  std::iota(groups.begin(), groups.end(), size_t(0));
  return groups;
}

}  // namespace

TEST_CASE("held out: every fifth image, of every class, by the seed") {
  const DetectionDataset dataset = hundred();
  const std::vector<bool> held = held_out_images(dataset, each_alone(100), 1);
  int64_t all = 0, rare = 0, empty = 0;
  for (size_t i = 0; i < 100; ++i)
    all += held[i], rare += held[i] && i % 10 == 0, empty += held[i] && i >= 91;
  CHECK(std::abs(all - 20) <= 1);  // an image may be of two classes
  CHECK(rare == 2);
  CHECK(empty == 2);
  CHECK(held_out_images(dataset, each_alone(100), 1) == held);
  CHECK(held_out_images(dataset, each_alone(100), 2) != held);
}

TEST_CASE("held out: images that look alike stay together, and at least one image is held out") {
  const DetectionDataset dataset = hundred();
  std::vector<size_t> groups(100);
  for (size_t i = 0; i < 100; ++i) groups[i] = i / 5 * 5;
  const std::vector<bool> held = held_out_images(dataset, groups, 1);
  for (size_t i = 0; i < 100; ++i) CHECK(held[i] == held[groups[i]]);
  CHECK(std::count(held.begin(), held.end(), true) > 0);
  DetectionDataset two = dataset;
  two.images.resize(2);
  const std::vector<bool> one = held_out_images(two, {0, 1}, 1);
  CHECK(std::count(one.begin(), one.end(), true) == 1);
  CHECK_THROWS_WITH(held_out_images(two, {0, 0}, 1), Contains("at least two are needed"));
}

TEST_CASE("held out: the only split of a data set gives train and val, with a warning") {
  const TemporaryFolder folder;
  create_folder(folder / "annotations"), create_folder(folder / "images");
  DetectionDataset dataset = hundred();
  dataset.images.resize(30);
  for (LabelledImage& image : dataset.images) {
    Random random(uint64_t(image.id) / 2);  // pairs of one look
    Image pixels(64, 48);
    for (int y = 0; y < 48; ++y)
      for (int x = 0; x < 64; x += 8) {
        if (y % 8 == 0)
          std::fill_n(pixels.at(x, y), 24, uint8_t(random.below(256)));
        else
          std::copy_n(pixels.at(x, y - 1), 24, pixels.at(x, y));
      }
    pixels.at(0, 0)[0] = uint8_t(image.id);
    write_image(folder / ("images/" + image.file), pixels);
  }
  write_coco(folder / "annotations/instances_default.json", dataset);
  CHECK(is_drawn(folder.path(), "train"));
  CHECK_FALSE(is_drawn(folder.path(), "default"));
  const auto [train, validation] = draw_splits(folder.path(), 1);
  CHECK(train.images.size() + validation.images.size() == 30);
  CHECK(validation.images.size() >= 4);
  CHECK(validation.images.size() <= 8);
  for (const LabelledImage& a : train.images)
    for (const LabelledImage& b : validation.images) CHECK(a.id / 2 != b.id / 2);
  CHECK_THAT(train.warnings.at(0),
             Contains("has only the split \"default\": ") &&
                 Contains("of its 30 images are held out for validation, drawn by `seed` 1"));
  CHECK(open_or_draw(folder.path(), "val", 1).images.front().file == validation.images.front().file);
  CHECK(open_or_draw(folder.path(), "default", 1).images.size() == 30);
  CHECK_THROWS_WITH(open_dataset(folder.path(), "train"), Contains("it has default"));
}
