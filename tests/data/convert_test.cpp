#include "train/data/convert.h"

#include <catch2/catch.hpp>
#include <filesystem>

#include "core/error.h"
#include "core/file.h"
#include "core/random.h"
#include "tests/support/test_data.h"
#include "train/data/coco.h"
#include "train/data/image/image_io.h"

using namespace fovea;
using Catch::Contains;
namespace fs = std::filesystem;

namespace {

using Names = std::vector<std::string>;
constexpr int width = 317, height = 211;

Image plain_image(int number) {
  Image image(width, height);
  std::fill(image.pixels.begin(), image.pixels.end(), uint8_t(number * 7));
  return image;
}

// A COCO data set: train of 5 images, val of 3, and both, which share a file name; boxes within the
// images.
class Coco {
 public:
  explicit Coco(bool whole_pixels = false) : whole_(whole_pixels) {
    create_folder(folder_ / "annotations");
    DetectionDataset train = part("train", 5, 0), val = part("val", 3, 5);
    DetectionDataset both = train;
    both.images.insert(both.images.end(), val.images.begin(), val.images.end());
    for (const auto& [name, dataset] :
         {std::pair("train", &train), std::pair("val", &val), std::pair("both", &both)})
      write_coco(folder_ / fmt::format("annotations/instances_{}.json", name), *dataset, folder_.path());
  }
  const std::string& folder() const { return folder_.path(); }

 private:
  DetectionDataset part(const std::string& split, int count, int first) {
    create_folder(folder_ / split);
    DetectionDataset dataset;
    dataset.class_names = {"ant", "bee: small", "cow", "dog"};
    dataset.category_ids = {1, 4, 5, 90};
    Random random(uint64_t(first) + 1);
    const auto number = [&](double limit) {
      return whole_ ? std::floor(limit * random.uniform()) : limit * random.uniform();
    };
    for (int i = 0; i < count; ++i) {
      LabelledImage image{
          folder_ / fmt::format("{}/image {}.png", split, i), 100 + first + i, width, height, {}};
      write_image(image.file, plain_image(first + i));
      for (int k = 0; k < i; ++k) {
        Annotation a{.x = number(width / 2),
                     .y = number(height / 2),
                     .width = 1 + number(width / 2 - 1),
                     .height = 1 + number(height / 2 - 1),
                     .label = int(number(3.99))};
        a.area = a.width * a.height;
        image.annotations.push_back(a);
      }
      dataset.images.push_back(image);
    }
    // Every class occurs, so that Pascal VOC keeps it.
    for (int k = 0; k < 4; ++k)
      dataset.images.back().annotations.push_back(
          {.x = 3, .y = 4, .width = 50, .height = 60, .area = 3000, .label = k});
    return dataset;
  }

  const bool whole_;
  TemporaryFolder folder_;
};

// Every box of `a` is in `b`, to `tolerance` pixels, and the images have the same bytes.
void check_equal(const std::string& a, const std::string& b, double tolerance) {
  for (const char* split : {"train", "val", "both"}) {
    CAPTURE(a, b, split);
    const DetectionDataset before = open_dataset(a, split), after = open_dataset(b, split);
    CHECK(after.class_names == before.class_names);
    REQUIRE(after.images.size() == before.images.size());
    for (size_t i = 0; i < before.images.size(); ++i) {
      const LabelledImage &x = before.images[i], &y = after.images[i];
      CHECK((read_file(x.file) == read_file(y.file)));
      CHECK(y.width == x.width);
      CHECK(y.height == x.height);
      REQUIRE(y.annotations.size() == x.annotations.size());
      for (size_t k = 0; k < x.annotations.size(); ++k) {
        const Annotation &m = x.annotations[k], &n = y.annotations[k];
        CHECK(n.label == m.label);
        CHECK(std::abs(n.x - m.x) <= tolerance);
        CHECK(std::abs(n.y - m.y) <= tolerance);
        CHECK(std::abs(n.x + n.width - m.x - m.width) <= tolerance);
        CHECK(std::abs(n.y + n.height - m.y - m.height) <= tolerance);
      }
    }
  }
}

Converted convert(const std::string& from, const std::string& to, DatasetFormat format, bool link = false) {
  return convert_dataset(from, to, {format, link});
}

size_t count_files(const std::string& folder, const std::string& ending) {
  size_t count = 0;
  for (const auto& entry : fs::recursive_directory_iterator(folder))
    count += entry.path().extension() == ending;
  return count;
}

}  // namespace

TEST_CASE("convert: COCO to YOLO to Pascal VOC to COCO gives equal boxes, to the precision of each") {
  const TemporaryFolder out;
  const Coco coco;
  const Converted to_yolo = convert(coco.folder(), out / "yolo", DatasetFormat::yolo);
  CHECK(to_yolo.images == 8);
  CHECK(to_yolo.boxes == 21);
  CHECK(to_yolo.splits == Names{"train", "val", "both"});
  CHECK(to_yolo.warnings.empty());
  CHECK(dataset_format(out / "yolo") == DatasetFormat::yolo);
  CHECK(dataset_splits(out / "yolo") == Names{"both", "train", "val"});
  CHECK_THAT(read_file(out / "yolo/data.yaml"), Contains("\n  1: \"bee: small\"\n"));
  check_equal(coco.folder(), out / "yolo", 1e-5);
  CHECK(count_files(out / "yolo", ".png") == 8);  // those of "both" are written only once
  // Two images had the same name; the second now has its split as a prefix.
  CHECK_THAT(read_file(out / "yolo/both.txt"),
             Contains("./images/train/train_image_0.png\n") && Contains("./images/val/image_0.png\n"));

  const Converted to_voc = convert(out / "yolo", out / "voc", DatasetFormat::voc);
  REQUIRE(to_voc.warnings.size() == 1);
  CHECK_THAT(to_voc.warnings[0], Contains("pairs of edges are rounded to whole pixels"));
  check_equal(out / "yolo", out / "voc", 0.5 + 1e-5);
  convert(out / "voc", out / "coco", DatasetFormat::coco);
  check_equal(out / "voc", out / "coco", 0);
  check_equal(coco.folder(), out / "coco", 0.5 + 1e-5);
}

TEST_CASE("convert: boxes of whole pixels are preserved exactly by Pascal VOC, and to the last bit by COCO") {
  const TemporaryFolder out;
  const Coco whole(true), coco;
  CHECK(convert(whole.folder(), out / "voc", DatasetFormat::voc).warnings.empty());
  check_equal(whole.folder(), out / "voc", 0);
  convert(coco.folder(), out / "coco", DatasetFormat::coco);
  check_equal(coco.folder(), out / "coco", 0);
  const DetectionDataset train = open_dataset(out / "coco", "train");
  CHECK(train.category_ids == std::vector<int>{1, 4, 5, 90});
  CHECK(train.images[2].id == 102);
  convert(out / "voc", out / "yolo", DatasetFormat::yolo);
  convert(out / "yolo", out / "again", DatasetFormat::voc);
  check_equal(out / "voc", out / "again", 0);
}

TEST_CASE("convert: warns of what the new format cannot hold") {
  const TemporaryFolder folder;
  create_folder(folder / "in/annotations");
  write_image(folder / "in/a.jpg", plain_image(1));
  DetectionDataset dataset;
  dataset.class_names = {"dog", "cat", "fish"};
  dataset.category_ids = {1, 2, 3};
  dataset.images.push_back(
      {folder / "in/a.jpg",
       1,
       width,
       height,
       {{.x = 1, .y = 2, .width = 30, .height = 40, .area = 700, .label = 0},
        {.x = 5, .y = 6, .width = 100, .height = 100, .area = 10000, .label = 0, .crowd = true},
        {.x = 300.2, .y = 200.3, .width = 0.1, .height = 40, .area = 4, .label = 1}}});
  write_coco(folder / "in/annotations/train.json", dataset, folder / "in");
  const Converted voc = convert(folder / "in", folder / "voc", DatasetFormat::voc);
  CHECK(voc.boxes == 2);
  REQUIRE(voc.warnings.size() == 6);
  CHECK_THAT(voc.warnings[0], Contains("bbox is [300.2, 200.3, 0.1, 40], which is not within its image"));
  CHECK_THAT(voc.warnings[1], Contains("1 crowd regions are left out"));
  CHECK_THAT(voc.warnings[2], Contains("1 objects have an area that is not their box's"));
  CHECK_THAT(voc.warnings[3], Contains("2 pairs of edges are rounded"));
  CHECK_THAT(voc.warnings[4], Contains("1 classes have no object"));
  CHECK_THAT(voc.warnings[5], Contains("the classes change their order"));
  const DetectionDataset back = open_dataset(folder / "voc", "train");
  CHECK(back.warnings.empty());
  const Annotation& narrow = back.images[0].annotations[1];
  CHECK(std::vector{narrow.x, narrow.y, narrow.width, narrow.height} == std::vector<double>{300, 200, 1, 11});

  std::string xml = read_file(folder / "voc/Annotations/a.xml");
  xml.replace(xml.find("<difficult>0"), 12, "<difficult>1");
  write_file_atomically(folder / "voc/Annotations/a.xml", xml);
  const Converted yolo = convert(folder / "voc", folder / "yolo", DatasetFormat::yolo);
  REQUIRE(yolo.warnings.size() == 1);
  CHECK_THAT(yolo.warnings[0], Contains("1 objects are marked as difficult"));
}

TEST_CASE("convert: class names that YAML would take for something else are quoted") {
  const TemporaryFolder folder;
  create_folder(folder / "in/annotations");
  write_image(folder / "in/a.jpg", plain_image(1));
  DetectionDataset dataset;
  dataset.class_names = {"no", "yes", "on", "1.0", "0x1F", "null", "a: b # c", "~"};
  for (int id = 1; id <= 8; ++id) dataset.category_ids.push_back(id);
  dataset.images.push_back({folder / "in/a.jpg", 1, width, height, {}});
  for (int label = 0; label < 8; ++label)
    dataset.images[0].annotations.push_back(
        {.x = 1, .y = 2, .width = 30, .height = 40, .area = 1200, .label = label});
  write_coco(folder / "in/annotations/no.json", dataset, folder / "in");  // also the name of a split
  convert(folder / "in", folder / "yolo", DatasetFormat::yolo);
  CHECK(read_file(folder / "yolo/data.yaml") ==
        "\"no\": \"images/no\"\nnames:\n  0: \"no\"\n  1: \"yes\"\n  2: \"on\"\n  3: \"1.0\"\n  4: \"0x1F\"\n"
        "  5: \"null\"\n  6: \"a: b # c\"\n  7: \"~\"\n");
  CHECK(open_dataset(folder / "yolo", "no").class_names == dataset.class_names);
}

TEST_CASE("convert: images are copied or linked") {
  const TemporaryFolder out;
  const Coco coco;
  convert(coco.folder(), out / "copied", DatasetFormat::yolo);
  convert(coco.folder(), out / "linked", DatasetFormat::yolo, true);
  const std::string linked = out / "linked/images/val/image_0.png",
                    copied = out / "copied/images/val/image_0.png";
  CHECK(fs::equivalent(linked, coco.folder() + "/val/image 0.png"));
  CHECK_FALSE(fs::equivalent(copied, coco.folder() + "/val/image 0.png"));
  CHECK((read_file(copied) == read_file(linked)));
}

TEST_CASE("convert: nothing half-written is left, and nothing is overwritten") {
  const TemporaryFolder out;
  const Coco coco;
  write_file_atomically(out / "file", "content");
  CHECK_THROWS_WITH(convert(coco.folder(), out / "file", DatasetFormat::voc),
                    Contains("file already exists"));
  create_folder(out / "full");
  write_file_atomically(out / "full/file", "content");
  CHECK_THROWS_WITH(convert(coco.folder(), out / "full", DatasetFormat::voc),
                    Contains("a new or an empty folder"));
  create_folder(out / "empty");
  CHECK(convert(coco.folder(), out / "empty/", DatasetFormat::voc).images == 8);
  CHECK(count_files(out / "empty", ".xml") == 8);

  CHECK_THROWS_WITH(convert(out / "full", out / "new", DatasetFormat::voc), Contains("is not a data set"));
  write_file_atomically(out / "deep", "a file where a folder should be");
  CHECK_THROWS_AS(convert(coco.folder(), out / "deep/new", DatasetFormat::voc), Error);
  write_file_atomically(coco.folder() + "/annotations/instances_val.json", "{");
  CHECK_THROWS_WITH(convert(coco.folder(), out / "new", DatasetFormat::voc), Contains("is not valid JSON"));
  CHECK_FALSE(fs::exists(out / "new"));
  for (const auto& entry : fs::directory_iterator(out.path())) CHECK(entry.path().extension() != ".part");
}
