// The layouts in which tools export data sets; docs/data.md has a table of them.
#include <catch2/catch.hpp>
#include <filesystem>

#include "core/error.h"
#include "core/file.h"
#include "tests/support/test_data.h"
#include "train/data/coco.h"
#include "train/data/dataset.h"
#include "train/data/image/image_io.h"

using namespace fovea;
namespace fs = std::filesystem;

namespace {

using Names = std::vector<std::string>;

const std::string xml =
    "<annotation><size><width>40</width><height>30</height></size><object><name>cat</name><bndbox><xmin>10</"
    "xmin>"
    "<ymin>6</ymin><xmax>30</xmax><ymax>24</ymax></bndbox></object></annotation>";
const std::string row = "0 0.5 0.5 0.5 0.6\n";

// A data set of images that all hold the same box, file by file.
class Export {
 public:
  void write(const std::string& name, const std::string& content) const {
    create_folder(fs::path(folder_ / name).parent_path().string());
    write_file_atomically(folder_ / name, content);
  }
  void image(const std::string& name) const { write(name, encode_png(Image(40, 30))); }
  void coco(const std::string& name, const std::string& file_name) const {
    DetectionDataset dataset{.class_names = {"cat"}, .category_ids = {1}};
    dataset.images.push_back(
        {file_name, 1, 40, 30, {{.x = 10, .y = 6, .width = 20, .height = 18, .area = 360}}});
    create_folder(fs::path(folder_ / name).parent_path().string());
    write_coco(folder_ / name, dataset);
  }
  // Every split has one image with that box.
  void check(DatasetFormat format, const Names& splits) const {
    CHECK(dataset_format(folder_.path()) == format);
    CHECK(dataset_splits(folder_.path()) == splits);
    for (const std::string& split : splits) {
      CAPTURE(split);
      const DetectionDataset dataset = open_dataset(folder_.path(), split);
      CHECK(dataset.warnings == Names{});
      REQUIRE(dataset.images.size() == 1);
      CHECK(is_file(dataset.images[0].file));
      const Annotation& a = dataset.images[0].annotations.at(0);
      CHECK(a.x == Approx(10));
      CHECK(a.y == Approx(6));
      CHECK(a.width == Approx(20));
      CHECK(a.height == Approx(18));
    }
  }

 private:
  TemporaryFolder folder_;
};

}  // namespace

TEST_CASE("layouts: COCO files beside the images of each split, or of the whole") {
  Export roboflow;
  for (const char* split : {"train", "valid", "test"}) {
    roboflow.image(fmt::format("{}/a.png", split));
    roboflow.coco(fmt::format("{}/_annotations.coco.json", split), "a.png");
  }
  roboflow.check(DatasetFormat::coco, {"test", "train", "val"});
  Export label_studio;
  label_studio.image("images/a.png");
  label_studio.coco("result.json", "images\\a.png");
  label_studio.check(DatasetFormat::coco, {"all"});
  Export named;
  named.image("images/a.png");
  named.coco("coco_train.json", "a.png");
  named.coco("coco-valid.json", "a.png");
  named.write("readme.json", "{}");
  named.check(DatasetFormat::coco, {"train", "val"});
  Export cvat;
  cvat.image("images/default/a.png");
  cvat.coco("annotations/instances_default.json", "a.png");
  cvat.check(DatasetFormat::coco, {"default"});
}

TEST_CASE("layouts: Pascal VOC's files beside the images, and without lists") {
  Export roboflow;
  for (const char* split : {"train", "valid"}) {
    roboflow.image(fmt::format("{}/a.png", split));
    roboflow.write(fmt::format("{}/a.xml", split), xml);
  }
  roboflow.check(DatasetFormat::voc, {"train", "val"});
  Export flat;
  flat.image("a.png");
  flat.write("a.xml", xml);
  flat.check(DatasetFormat::voc, {"all"});
  Export kaggle;
  kaggle.image("images/a.png");
  kaggle.write("annotations/a.xml", xml);
  kaggle.check(DatasetFormat::voc, {"all"});
  Export folders;
  folders.image("train/JPEGImages/a.png");
  folders.write("train/Annotations/a.xml", xml);
  folders.check(DatasetFormat::voc, {"train"});
}

TEST_CASE("layouts: YOLO's text files beside the images") {
  Export flat;
  flat.image("a.png");
  flat.write("a.txt", row);
  flat.write("classes.txt", "cat\n");
  flat.check(DatasetFormat::yolo, {"all"});
  Export splits;
  for (const char* split : {"train", "valid"}) {
    splits.image(fmt::format("{}/a.png", split));
    splits.write(fmt::format("{}/a.txt", split), row);
  }
  splits.write("classes.txt", "cat\n");
  splits.check(DatasetFormat::yolo, {"train", "val"});
  Export without_paths;
  without_paths.image("images/train/a.png");
  without_paths.write("labels/train/a.txt", row);
  without_paths.write("data.yaml", "names: [cat]\n");
  without_paths.check(DatasetFormat::yolo, {"train"});
}
