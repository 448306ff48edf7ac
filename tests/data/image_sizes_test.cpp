#include "train/data/image_sizes.h"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/file.h"
#include "tests/support/test_data.h"
#include "train/data/convert.h"

using namespace fovea;
using Catch::Contains;

namespace {

using Box = std::vector<double>;

// A JPEG with this EXIF orientation: SOI, then APP1 with a block of one entry, a short.
std::string oriented(int width, int height, char orientation) {
  std::string bytes = encode_jpeg(Image(width, height));
  std::string exif(
      "\xFF\xE1\x00\x22"
      "Exif\0\0MM\0\x2A\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0",
      36);
  exif[29] = orientation;
  return bytes.insert(2, exif);
}

// A COCO data set, image by image: what is stored, what the annotations say, and one box.
class Coco {
 public:
  Coco() { create_folder(folder_ / "annotations"), create_folder(folder_ / "images"); }
  void add(const std::string& bytes, int width, int height, const Box& box) {
    const int id = int(root_["images"].size()) + 1;
    const std::string name = fmt::format("{}.jpg", id);
    write_file_atomically(folder_ / ("images/" + name), bytes);
    root_["images"].push_back({{"id", id}, {"file_name", name}, {"width", width}, {"height", height}});
    if (!box.empty())
      root_["annotations"].push_back({{"id", id}, {"image_id", id}, {"category_id", 1}, {"bbox", box}});
  }
  void add(int real_width, int real_height, int width, int height, const Box& box) {
    add(encode_jpeg(Image(real_width, real_height)), width, height, box);
  }
  const std::string& folder() const {
    write_file_atomically(folder_ / "annotations/instances_train.json", root_.dump());
    return folder_.path();
  }
  DetectionDataset read() const { return open_dataset(folder(), "train"); }

 private:
  TemporaryFolder folder_;
  nlohmann::json root_ = {{"images", nlohmann::json::array()},
                          {"annotations", nlohmann::json::array()},
                          {"categories", {{{"id", 1}, {"name", "cat"}}}}};
};

Box box_of(const DetectionDataset& dataset, size_t image) {
  const Annotation& a = dataset.images.at(image).annotations.at(0);
  return {a.x, a.y, a.width, a.height};
}

}  // namespace

TEST_CASE("sizes: boxes labelled before their images were scaled are scaled with them, with one warning") {
  Coco coco;
  coco.add(160, 120, 160, 120, {40, 30, 20, 10});
  for (int i = 0; i < 2; ++i) coco.add(160, 120, 320, 240, {80, 60, 240, 160});
  const DetectionDataset dataset = coco.read();
  CHECK(box_of(dataset, 0) == Box{40, 30, 20, 10});
  CHECK(box_of(dataset, 1) == Box{40, 30, 120, 80});
  CHECK(dataset.images[1].annotations[0].area == 120 * 80);
  CHECK(dataset.images[1].width == 160);
  REQUIRE(dataset.warnings.size() == 1);
  CHECK_THAT(
      dataset.warnings[0],
      Contains("2 images whose size is not their annotation's; the first: ") &&
          Contains("images/2.jpg has 160 x 120 pixels, its annotation says 320 x 240: its boxes are taken "
                   "as those before it was scaled"));
}

TEST_CASE("sizes: boxes of the stored pixels are turned with their image") {
  Coco coco;
  coco.add(oriented(160, 120, 6), 160, 120, {97, 53, 47, 32});
  coco.add(oriented(160, 120, 8), 160, 120, {97, 53, 47, 32});
  coco.add(oriented(160, 120, 3), 160, 120,
           {97, 53, 47, 32});  // its size does not show it: treated as the others
  const DetectionDataset dataset = coco.read();
  CHECK(box_of(dataset, 0) == Box{35, 97, 32, 47});
  CHECK(box_of(dataset, 1) == Box{53, 16, 32, 47});
  CHECK(box_of(dataset, 2) == Box{16, 35, 47, 32});
  CHECK(dataset.images[0].width == 120);
  REQUIRE(dataset.warnings.size() == 2);
  CHECK_THAT(dataset.warnings[0], Contains("its boxes are of the stored image, and are turned with it"));
  CHECK_THAT(dataset.warnings[1], Contains("3.jpg has the EXIF orientation 3"));

  const TemporaryFolder out;
  convert_dataset(coco.folder(), out / "yolo", {.to = DatasetFormat::yolo});
  CHECK(read_file(out / "yolo/labels/train/1.txt") == "0 0.42500000 0.75312500 0.26666667 0.29375000\n");
}

TEST_CASE("sizes: boxes of the upright image stay, and assumptions are reported") {
  Coco coco;
  coco.add(oriented(160, 120, 6), 120, 160, {10, 100, 40, 50});
  CHECK(coco.read().warnings.empty());
  coco.add(oriented(160, 120, 3), 160, 120, {97, 53, 47, 32});
  const DetectionDataset dataset = coco.read();
  CHECK(box_of(dataset, 0) == Box{10, 100, 40, 50});
  CHECK(box_of(dataset, 1) == Box{97, 53, 47, 32});
  REQUIRE(dataset.warnings.size() == 1);
  CHECK_THAT(dataset.warnings[0],
             Contains("2.jpg has the EXIF orientation 3: its boxes are taken as those of the "
                      "upright image"));
}

TEST_CASE("sizes: only the size is wrong if width and height are exchanged or boxes do not fit it") {
  Coco coco;
  coco.add(160, 120, 120, 160, {100, 60, 50, 50});
  coco.add(160, 120, 80, 60, {100, 60, 50, 50});
  coco.add(160, 120, 99, 10, {});
  const DetectionDataset dataset = coco.read();
  CHECK(box_of(dataset, 0) == Box{100, 60, 50, 50});
  CHECK(box_of(dataset, 1) == Box{100, 60, 50, 50});
  CHECK_THAT(dataset.warnings.at(0),
             Contains("3 images whose size") && Contains("taken as pixels of the image"));
}

TEST_CASE("sizes: boxes that may be of either size stop every command") {
  Coco coco;
  coco.add(160, 120, 160, 120, {10, 10, 20, 20});
  coco.add(160, 120, 200, 120, {10, 10, 20, 20});
  CHECK_THROWS_WITH(coco.read(),
                    Contains("2.jpg has 160 x 120 pixels, its annotation says 200 x 120: its boxes may "
                             "be of either"));
  const TemporaryFolder out;
  CHECK_THROWS_WITH(convert_dataset(coco.folder(), out / "yolo", {.to = DatasetFormat::yolo}),
                    Contains("may be of either"));
  ReadLog log;
  CHECK(open_dataset(coco.folder(), "train", {}, &log).images.size() == 2);
  REQUIRE(log.faults.size() == 1);
  CHECK(log.faults[0].kind == ProblemKind::unknown_size);
  CHECK(text_of(ProblemKind::unknown_size).severity == Severity::error);
}

TEST_CASE("sizes: Pascal VOC's boxes beyond a size that is too small are not cut off") {
  const TemporaryFolder folder;
  for (const char* name : {"Annotations", "JPEGImages", "ImageSets/Main"}) create_folder(folder / name);
  write_image(folder / "JPEGImages/a.jpg", Image(160, 120));
  write_file_atomically(folder / "ImageSets/Main/train.txt", "a\n");
  write_file_atomically(
      folder / "Annotations/a.xml",
      "<annotation><size><width>80</width><height>60</height></size><object><name>cat</name><bndbox>"
      "<xmin>100</xmin><ymin>60</ymin><xmax>150</xmax><ymax>110</ymax></bndbox></object>"
      "</annotation>");
  const DetectionDataset dataset = open_dataset(folder.path(), "train");
  CHECK(box_of(dataset, 0) == Box{100, 60, 50, 50});
  REQUIRE(dataset.warnings.size() == 1);
  CHECK_THAT(dataset.warnings[0], Contains("taken as pixels of the image"));
}
