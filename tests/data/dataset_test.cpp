#include "train/data/dataset.h"

#include <array>
#include <catch2/catch.hpp>

#include "core/error.h"
#include "core/file.h"
#include "tests/support/test_data.h"
#include "train/data/coco.h"
#include "train/data/splits.h"

using namespace fovea;
using Catch::Contains;

namespace {

using Names = std::vector<std::string>;

DetectionDataset labels(const std::string& image, int64_t id, const Names& class_names) {
  DetectionDataset dataset;
  dataset.class_names = class_names;
  for (size_t i = 0; i < class_names.size(); ++i) dataset.category_ids.push_back(int(i) + 1);
  dataset.images.push_back({image, id, 10, 10, {{.width = 5, .height = 4, .area = 20, .label = 0}}});
  return dataset;
}

void write_coco_split(const TemporaryFolder& folder, const std::string& file, const std::string& image,
                      int64_t id, const Names& class_names = {"cat", "dog"}) {
  create_folder(folder / "annotations");
  write_coco(folder / ("annotations/" + file), labels(image, id, class_names));
}

void write_image_file(const TemporaryFolder& folder, const std::string& in, const std::string& name) {
  create_folder(folder / in);
  write_file_atomically(folder / (in + "/" + name), "image");
}

void write_voc_image(const TemporaryFolder& folder, const std::string& stem, const std::string& class_name) {
  create_folder(folder / "Annotations");
  create_folder(folder / "ImageSets/Main");
  write_image_file(folder, "JPEGImages", stem + ".jpg");
  write_file_atomically(
      folder / ("Annotations/" + stem + ".xml"),
      "<annotation><size><width>10</width><height>10</height></size><object><name>" + class_name +
          "</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>4</xmax><ymax>4</ymax></bndbox></object>"
          "</annotation>");
}

}  // namespace

TEST_CASE("a COCO layout is found, its images in any of four folders") {
  const TemporaryFolder folder;
  write_coco_split(folder, "instances_train.json", "1.jpg", 5);
  write_coco_split(folder, "instances_val.json", "2.jpg", 6);
  write_coco_split(folder, "captions_val.json", "2.jpg", 6);
  CHECK(dataset_splits(folder.path()) == Names{"train", "val"});

  for (const char* place : {"train", "images/train", "images", ""}) {
    const TemporaryFolder other;
    write_coco_split(other, "train.json", "1.jpg", 5);
    write_image_file(other, place, "1.jpg");
    CHECK(dataset_splits(other.path()) == Names{"train"});
    const DetectionDataset dataset = open_dataset(other.path(), "train");
    REQUIRE(dataset.images.size() == 1);
    CHECK(dataset.images[0].id == 5);
    CHECK(read_file(dataset.images[0].file) == "image");
  }
  CHECK_THROWS_WITH(open_dataset(folder.path(), "train"), Contains("none of the 1 images that "));
}

TEST_CASE("COCO splits are joined, and equal image ids are renumbered") {
  const TemporaryFolder folder;
  write_coco_split(folder, "instances_train.json", "1.jpg", 5);
  write_coco_split(folder, "instances_val.json", "2.jpg", 6, {"dog", "cat"});
  write_coco_split(folder, "instances_more.json", "3.jpg", 5, {"dog", "bird"});
  write_coco_split(folder, "instances_odd.json", "3.jpg", 9, {"bird"});
  for (const char* name : {"1.jpg", "2.jpg", "3.jpg"}) write_image_file(folder, "images", name);

  DetectionDataset both = open_dataset(folder.path(), "train+val");
  REQUIRE(both.images.size() == 2);
  CHECK(both.images[0].id == 5);
  CHECK(both.images[1].id == 6);
  CHECK(both.class_names == Names{"cat", "dog"});
  CHECK(both.images[0].annotations[0].label == 0);
  CHECK(both.images[1].annotations[0].label == 1);  // "dog", although it is the first category of its file
  CHECK(both.warnings.empty());
  CHECK(both.name ==
        folder / "annotations/instances_train.json" + " + " + (folder / "annotations/instances_val.json"));

  both = open_dataset(folder.path(), "train+more");
  REQUIRE(both.images.size() == 2);
  CHECK(both.images[0].id == 1);
  CHECK(both.images[1].id == 2);
  REQUIRE(both.warnings.size() == 1);
  CHECK_THAT(both.warnings[0], Contains("use the same image ids: the images are numbered from 1"));

  CHECK_THROWS_WITH(open_dataset(folder.path(), "train+odd"),
                    Contains("class \"bird\"") && Contains("it has cat, dog"));
  CHECK_THROWS_WITH(open_dataset(folder.path(), "odd", {"cat"}), Contains("it has cat"));
}

TEST_CASE("a Pascal VOC layout is found, splits are joined, lists given by path") {
  const TemporaryFolder folder;
  write_voc_image(folder, "a", "dog");
  write_voc_image(folder, "b", "cat");
  write_voc_image(folder, "c", "dog");
  write_file_atomically(folder / "ImageSets/Main/train.txt", "c\na\n");
  write_file_atomically(folder / "ImageSets/Main/val.txt", "b\n");
  write_file_atomically(folder / "ImageSets/Main/dog_train.txt", "c  1\na -1\n");
  write_file_atomically(folder / "few.txt", "b\nc\n");
  CHECK(dataset_splits(folder.path()) == Names{"train", "val"});
  const DetectionDataset train = open_dataset(folder.path(), "train");
  REQUIRE(train.images.size() == 2);
  CHECK(train.images[0].file == folder / "JPEGImages/c.jpg");
  CHECK(train.class_names == Names{"cat", "dog"});
  CHECK(open_dataset(folder.path(), "val", {"dog", "cat"}).images[0].annotations[0].label == 1);

  const DetectionDataset both = open_dataset(folder.path(), "val+train");
  REQUIRE(both.images.size() == 3);
  CHECK(both.images[0].file == folder / "JPEGImages/b.jpg");
  CHECK(both.images[2].id == 3);
  CHECK(open_dataset(folder.path(), folder / "few.txt").images.size() == 2);
  CHECK(open_dataset(folder.path(), "few.txt").images.size() == 2);
  CHECK_THROWS_WITH(open_dataset(folder.path(), "gone.txt"),
                    Contains("there is no list file gone.txt, nor "));
}

TEST_CASE("pictures that no split lists are found, whatever other splits there are") {
  const TemporaryFolder folder;
  for (const char* stem : {"a", "b", "c", "d"}) write_voc_image(folder, stem, "dog");
  write_file_atomically(folder / "ImageSets/Main/train.txt", "a\n");
  write_file_atomically(folder / "ImageSets/Main/val.txt", "b\n");
  write_file_atomically(folder / "ImageSets/Main/test.txt", "c\n");
  write_image_file(folder, "JPEGImages", "e.heic");
  write_image_file(folder, "runs/1", "augmented.jpg");
  for (const char* file : {"config.json", "last.safetensors"}) write_image_file(folder, "runs/1", file);
  const DetectionDataset train = open_dataset(folder.path(), "train");
  const std::array<const DetectionDataset*, 1> datasets{&train};
  CHECK(unlisted_pictures(folder.path(), {"train"}, datasets) ==
        Names{folder / "JPEGImages/d.jpg is in no split",
              folder / "JPEGImages/e.heic is in an unsupported format"});
  const TemporaryFolder none;
  write_image_file(none, ".", "a.jpg");
  CHECK(unlisted_pictures(none.path(), {"train"}, datasets).empty());
}

TEST_CASE("Pascal VOC: a list of images whose names end in a number is a split, and lines may be paths") {
  const TemporaryFolder folder;
  for (const char* stem : {"val photo 1", "b", "c", "d"}) write_voc_image(folder, stem, "dog");
  write_file_atomically(folder / "ImageSets/Main/val.txt", "\xEF\xBB\xBFval photo 1\nb.jpg\n");
  write_file_atomically(folder / "ImageSets/Main/train.txt",
                        "JPEGImages/c.jpg Annotations/c.xml\nD:\\voc\\JPEGImages\\d.jpg\n");
  write_file_atomically(folder / "ImageSets/Main/dog_val.txt", "val photo 1  1\nb -1\n");
  CHECK(dataset_splits(folder.path()) == Names{"train", "val"});
  for (const char* split : {"train", "val"}) {
    const DetectionDataset dataset = open_dataset(folder.path(), split);
    CHECK(dataset.images.size() == 2);
    CHECK(dataset.warnings.empty());
  }
}

TEST_CASE("a folder that is not a data set, and a missing split, are errors") {
  const TemporaryFolder folder;
  CHECK_THROWS_WITH(open_dataset(folder / "none", "train"), Contains("none is no folder"));
  CHECK_THROWS_WITH(
      open_dataset(folder.path(), "train"),
      Contains("is not a data set: neither Annotations/*.xml") && Contains("annotations/*.json"));
  CHECK(dataset_splits(folder.path()).empty());
  CHECK(dataset_splits(folder / "none").empty());

  write_coco_split(folder, "instances_train.json", "1.jpg", 5);
  write_coco_split(folder, "instances_val.json", "2.jpg", 6);
  write_image_file(folder, "images", "1.jpg");
  CHECK_THROWS_WITH(open_dataset(folder.path(), "tets"),
                    Contains("has no split \"tets\": it has train, val"));
  CHECK_THROWS_WITH(open_dataset(folder.path(), "train+tets"), Contains("has no split \"tets\""));
  for (const char* split : {"", "train+", "+train", "train++val", "train+train"})
    CHECK_THROWS_WITH(open_dataset(folder.path(), split),
                      Contains("the split \"" + std::string(split) + "\" is no list"));

  const TemporaryFolder voc;
  write_voc_image(voc, "a", "dog");
  CHECK_THROWS_WITH(open_dataset(voc.path(), "train"), Contains("has no split \"train\": it has all"));
  write_file_atomically(voc / "ImageSets/Main/val.txt", "a\n");
  CHECK_THROWS_WITH(open_dataset(voc.path(), "train"), Contains("has no split \"train\": it has val"));
}
