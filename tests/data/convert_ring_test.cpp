// COCO -> YOLO -> Pascal VOC -> COCO: only what a format cannot hold is lost, with a warning.
#include <catch2/catch.hpp>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>

#include "core/error.h"
#include "core/file.h"
#include "tests/support/test_data.h"
#include "train/data/convert.h"
#include "train/data/image/image_io.h"

using namespace fovea;
using Catch::Contains;

namespace {

using Names = std::vector<std::string>;

// What a ring must preserve: boxes by image and class, to whole pixels, whatever the names of the files.
std::multiset<std::string> boxes_of(const DetectionDataset& dataset) {
  std::multiset<std::string> boxes;
  for (const LabelledImage& image : dataset.images) {
    boxes.insert(
        fmt::format("{} {} {}", std::hash<std::string>()(read_file(image.file)), image.width, image.height));
    for (const Annotation& a : image.annotations)
      if (a.has_area() && !a.crowd)
        boxes.insert(fmt::format("{} {} {} {} {} {}", std::hash<std::string>()(read_file(image.file)),
                                 dataset.class_names[size_t(a.label)], std::lround(a.x), std::lround(a.y),
                                 std::lround(a.x + a.width), std::lround(a.y + a.height)));
  }
  return boxes;
}

void check_ring(const std::string& start) {
  const TemporaryFolder out;
  std::string from = start;
  for (const auto& [name, format] :
       {std::pair("yolo", DatasetFormat::yolo), std::pair("voc", DatasetFormat::voc),
        std::pair("coco", DatasetFormat::coco)}) {
    const Converted converted = convert_dataset(from, out / name, {.to = format});
    from = out / name;
    CHECK(dataset_format(from) == format);
    CHECK(dataset_splits(from) == dataset_splits(start));
    for (const std::string& split : dataset_splits(start)) {
      CAPTURE(name, split);
      CHECK(boxes_of(open_dataset(from, split)) == boxes_of(open_dataset(start, split)));
    }
    if (from == out / "coco") CHECK(converted.warnings == Names{});
  }
}

}  // namespace

TEST_CASE("the ring of formats preserves a data set with every oddity") {
  const TemporaryFolder folder;
  create_folder(folder / "annotations"), create_folder(folder / "images/sub");
  int pixel = 0;
  const auto image = [&](const std::string& name, int width, int height) {
    Image drawn(width, height);
    drawn.pixels[0] = uint8_t(++pixel);
    write_image(folder / ("images/" + name), drawn);
  };
  image("val photo 1.png", 160, 120), image("caf\xE9.png", 160, 120), image("scaled.png", 160, 120);
  image("swapped.png", 160, 120), image("sub/deep.png", 160, 120), image("empty.png", 160, 120);
  using nlohmann::json;
  json images = json::array(), annotations = json::array();
  const auto add = [&](const std::string& name, json width, json height, std::vector<json> boxes) {
    const size_t id = images.size() + 1;
    images.push_back({{"id", std::to_string(id)}, {"file_name", name}, {"width", width}, {"height", height}});
    for (json& box : boxes)
      annotations.push_back(
          {{"id", annotations.size()}, {"image_id", double(id)}, {"category_id", 1 + id % 2}, {"bbox", box}});
  };
  add("val photo 1.png", 160, 120, {{0, 0, 160, 120}, {10, 20, 0, 30}});
  add("caf\\xE9.png", 160, 120, {{30, 40, 50, 60}});
  add("scaled.png", 320, 240, {{60, 80, 100, 120}});
  add("swapped.png", 120, 160, {{100, 20, 60, 40}});
  add("D:\\set\\sub\\deep.png", -1, nullptr, {{"1", "2", 3, 4}});
  add("empty.png", 160, 120, {});
  images[4].erase("height");
  json root{{"images", images}, {"annotations", annotations}};
  root["categories"] = {{{"id", 1}, {"name", "yes"}}, {{"id", "2"}, {"name", "1.0"}}};
  write_file_atomically(folder / "annotations/instances_valid.json", "\xEF\xBB\xBF" + root.dump());
  const DetectionDataset start = open_dataset(folder.path(), "val");
  CHECK(start.images.size() == 6);
  check_ring(folder.path());

  const TemporaryFolder out;
  const Converted yolo = convert_dataset(folder.path(), out / "yolo", {.to = DatasetFormat::yolo});
  std::string said;
  for (const std::string& warning : yolo.warnings) said += warning + "\n";
  CHECK_THAT(said, Contains("2 images whose size is not their annotation's") &&
                       Contains("1 boxes without an area are left out") &&
                       Contains("caf\\xE9.png has a name"));
  CHECK(is_file(out / "yolo/labels/val/caf\\xE9.txt"));
}

TEST_CASE("a box of Pascal VOC is preserved") {
  const TemporaryFolder folder;
  for (const char* name : {"Annotations", "JPEGImages", "ImageSets/Main"}) create_folder(folder / name);
  write_image(folder / "JPEGImages/a.png", Image(100, 80));
  write_file_atomically(folder / "ImageSets/Main/train.txt", "a\n");
  std::string xml = "<annotation><size><width>100</width><height>80</height></size>";
  const Names boxes{"<xmin>1</xmin><ymin>1</ymin><xmax>100</xmax><ymax>80</ymax>",
                    "<xmin>0</xmin><ymin>0</ymin><xmax>1</xmax><ymax>1</ymax>",
                    "<xmin>99</xmin><ymin>7</ymin><xmax>100</xmax><ymax>80</ymax>"};
  for (const std::string& box : boxes) xml += "<object><name>cat</name><bndbox>" + box + "</bndbox></object>";
  write_file_atomically(folder / "Annotations/a.xml", xml + "</annotation>");
  convert_dataset(folder.path(), folder / "coco", {.to = DatasetFormat::coco});
  convert_dataset(folder / "coco", folder / "yolo", {.to = DatasetFormat::yolo});
  convert_dataset(folder / "yolo", folder / "voc", {.to = DatasetFormat::voc});
  std::string back = read_file(folder / "voc/Annotations/a.xml");
  std::erase_if(back, [](char c) { return c == ' ' || c == '\n'; });
  for (const std::string& box : boxes) CHECK_THAT(back, Contains("<bndbox>" + box + "</bndbox>"));
}

TEST_CASE("the ring of formats preserves the blood cells of the test data") {
  const auto folder = test_data("bccd");
  if (!folder) {
    WARN("bccd is missing in the test data: only the data sets made here were tested");
    return;
  }
  const TemporaryFolder out;
  convert_dataset(*folder, out / "coco", {.to = DatasetFormat::coco, .link = true});
  check_ring(out / "coco");
}
