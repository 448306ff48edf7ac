#include "train/data/yolo.h"

#include <catch2/catch.hpp>

#include "core/error.h"
#include "core/file.h"
#include "tests/support/test_data.h"
#include "train/data/dataset.h"
#include "train/data/image/image_io.h"

using namespace fovea;
using Catch::Contains;

namespace {

using Names = std::vector<std::string>;

// A data set in YOLO's layout, made file by file; images have 100 x 80 pixels.
class Yolo {
 public:
  explicit Yolo(const std::string& yaml = "train: images/train\nval: images/val\nnames: [cat, dog]\n") {
    if (!yaml.empty()) write("data.yaml", yaml);
  }
  const std::string& folder() const { return folder_.path(); }
  std::string file(const std::string& name) const { return folder_ / name; }
  void write(const std::string& name, const std::string& content) const {
    create_folder(std::filesystem::path(file(name)).parent_path().string());
    write_file_atomically(file(name), content);
  }
  void image(const std::string& name) const {
    create_folder(std::filesystem::path(file(name)).parent_path().string());
    write_image(file(name), Image(100, 80));
  }
  void labelled(const std::string& name, const std::string& lines) const {
    image("images/train/" + name + ".png");
    write("labels/train/" + name + ".txt", lines);
  }

 private:
  TemporaryFolder folder_;
};

std::vector<double> numbers(const Annotation& a) { return {a.x, a.y, a.width, a.height, a.area}; }

DetectionDataset read_one(const std::string& lines, ReadLog* log = nullptr) {
  Yolo yolo;
  yolo.labelled("a", lines);
  return read_yolo(yolo.folder(), {"train"}, {}, log);
}

std::string warning_of(const std::string& line, size_t boxes_left) {
  const DetectionDataset dataset = read_one("0 0.5 0.5 0.5 0.5\n" + line);
  REQUIRE(dataset.warnings.size() == 1);
  CHECK(dataset.images[0].annotations.size() == boxes_left);
  REQUIRE_THAT(dataset.warnings[0], Contains("labels/train/a.txt:2: the box has "));
  return dataset.warnings[0].substr(dataset.warnings[0].find("centre"));
}

}  // namespace

TEST_CASE("YOLO: shares become pixels of the image, lines labels") {
  Yolo yolo;
  yolo.labelled("b", "1 0.5 0.25 0.25 0.5\n\n  0\t0.125 0.5 0.25 1 \r\n");
  yolo.labelled("a", "");
  yolo.image("images/train/c.png");  // no text file: no object
  CHECK(dataset_format(yolo.folder()) == DatasetFormat::yolo);
  CHECK(dataset_splits(yolo.folder()) == Names{"train", "val"});
  const DetectionDataset dataset = open_dataset(yolo.folder(), "train");
  CHECK(dataset.class_names == Names{"cat", "dog"});
  CHECK(dataset.category_ids == std::vector<int>{1, 2});
  REQUIRE(dataset.warnings.size() == 1);
  CHECK_THAT(dataset.warnings[0], Contains("c.png has no file ") && Contains("labels/train/c.txt"));
  REQUIRE(dataset.images.size() == 3);
  CHECK(dataset.images[0].annotations.empty());
  CHECK(dataset.images[2].annotations.empty());
  const LabelledImage& b = dataset.images[1];
  CHECK(b.file == yolo.file("images/train/b.png"));
  CHECK(b.id == 2);
  CHECK(b.width == 100);
  CHECK(b.height == 80);
  REQUIRE(b.annotations.size() == 2);
  CHECK(numbers(b.annotations[0]) == std::vector<double>{37.5, 0, 25, 40, 1000});
  CHECK(numbers(b.annotations[1]) == std::vector<double>{0, 0, 25, 80, 2000});
  CHECK(b.annotations[0].label == 1);
  CHECK(b.annotations[1].label == 0);
}

TEST_CASE("YOLO: the box around an outline") {
  const DetectionDataset dataset = read_one("1 0.25 0.5 0.75 0.25 0.5 0.875\n");
  CHECK(numbers(dataset.images[0].annotations[0]) == std::vector<double>{25, 20, 50, 50, 2500});
}

TEST_CASE("YOLO: the ways to name classes, splits and images") {
  SECTION("a map of names; several sources; lists; paths of another machine") {
    Yolo yolo(
        "path: /elsewhere/coco8\ntrain: [../images/a, images/b]\nval: /elsewhere/coco8/lists/val.txt\ntest:\n"
        "extra: images/b\ndownload: https://example.org/x.zip\nnc: 2\nnames:\n  1: dog\n  0: 'cat: small'\n");
    for (const char* name : {"images/a/1.png", "images/a/deep/2.png", "images/b/3.png"}) yolo.image(name);
    yolo.write("labels/a/1.txt", "0 0.5 0.5 0.5 0.5");
    yolo.write("labels/b/3.txt", "1 0.5 0.5 0.5 0.5");
    yolo.write("lists/val.txt", "/elsewhere/coco8/images/b/3.png\n./images/b/4.png\n/x/images/b/3.png\n");
    CHECK(dataset_splits(yolo.folder()) == Names{"extra", "train", "val"});
    const DetectionDataset train = open_dataset(yolo.folder(), "train");
    CHECK(train.class_names == Names{"cat: small", "dog"});
    REQUIRE(train.images.size() == 3);
    CHECK(train.images[1].file == yolo.file("images/a/deep/2.png"));
    const DetectionDataset val = open_dataset(yolo.folder(), "val");
    REQUIRE(val.images.size() == 1);
    CHECK(val.images[0].annotations[0].label == 1);
    REQUIRE(val.warnings.size() == 2);
    CHECK_THAT(val.warnings[0], Contains("val.txt names ./images/b/4.png, which does not exist"));
    CHECK_THAT(val.warnings[1], Contains("again: it is used once"));
    CHECK(open_dataset(yolo.folder(), "train+extra").images.size() == 3);  // images/b is in both
  }
  SECTION("classes.txt and folders; valid is val") {
    Yolo yolo("");
    yolo.write("classes.txt", "cat\ndog\n");
    for (const char* name : {"train/images/1.png", "valid/images/2.png"}) yolo.image(name);
    yolo.write("train/labels/1.txt", "1 0.5 0.5 0.5 0.5\n");
    CHECK(dataset_splits(yolo.folder()) == Names{"train", "val"});
    CHECK(open_dataset(yolo.folder(), "train", {"bird", "dog", "cat"}).images[0].annotations[0].label == 1);
  }
  SECTION("Darknet's names and lists, text files beside the images") {
    Yolo yolo("");
    yolo.write("obj.names", "cat\n");
    yolo.write("train.txt", "data/obj_train_data/1.png\n");
    yolo.image("obj_train_data/1.png");
    yolo.write("obj_train_data/1.txt", "0 0.5 0.5 0.5 0.5\n");
    CHECK(open_dataset(yolo.folder(), "train").images[0].annotations.size() == 1);
  }
  SECTION("one folder of images") {
    Yolo yolo("");
    yolo.write("classes.txt", "cat\n");
    yolo.image("images/1.png");
    yolo.write("labels/1.txt", "0 0.5 0.5 0.5 0.5\n");
    CHECK(dataset_splits(yolo.folder()) == Names{"all"});
    CHECK(open_dataset(yolo.folder(), "all").images.size() == 1);
    CHECK_THROWS_WITH(open_dataset(yolo.folder(), "train"), Contains("has no split \"train\": it has all"));
  }
}

TEST_CASE("YOLO: broken boxes are warnings") {
  CHECK(warning_of("1 0.5 0.5 0 0.25\n", 1) ==
        "centre 0.5 0.5, width 0, height 0.25, which is not a positive finite size: the box is left out");
  CHECK_THAT(warning_of("1 0.5 0.5 nan 0.25\n", 1), Contains("not a positive finite size"));
  CHECK_THAT(warning_of("1 50 40 10 8\n", 1), Contains("which is outside its image: the box is left out"));
  CHECK_THAT(warning_of("1 0.9 0.5 0.5 0.25\n", 2),
             Contains("reaches outside its image: the box is cut off"));
  const DetectionDataset dataset = read_one("0 0.875 0.5 0.5 0.25\n0 0.504 0.5 1 0.5\n");
  CHECK(numbers(dataset.images[0].annotations[0]) == std::vector<double>{62.5, 30, 37.5, 20, 750});
  CHECK(dataset.warnings.size() == 1);  // the second is outside by less than a pixel, from rounding
}

TEST_CASE("YOLO: faults of a line are errors with file, line and value, with a log they are left out") {
  CHECK_THROWS_WITH(read_one("0 0.5 0.5 0.5 0.5\ncat 0.5 0.5 0.5 0.5"),
                    Contains("labels/train/a.txt:2: \"cat\" is not a number"));
  CHECK_THROWS_WITH(read_one("0 0.5 0.5 0.5"), Contains("a.txt:1 has 4 numbers: 5 were expected"));
  CHECK_THROWS_WITH(read_one("0 0.5 0.5 0.5 0.5 0.9"), Contains("6 numbers") && Contains("the score"));
  CHECK_THROWS_WITH(read_one("0.5 0.5 0.5 0.5 0.5"), Contains("a.txt:1: the class is 0.5: a whole number"));
  CHECK_THROWS_WITH(read_one("2 0.5 0.5 0.5 0.5"),
                    Contains("a.txt:1: the class is 2, but ") && Contains("data.yaml names 2, from 0 to 1"));
  CHECK_THROWS_WITH(read_one("-1 0.5 0.5 0.5 0.5"), Contains("the class is -1"));
  ReadLog log;
  const DetectionDataset dataset =
      read_one("0 0.5 0.5 0.5 0.5\n2 0.5 0.5 0.5 0.5\n0 x\n1 0.5 0.5 0 0\n", &log);
  CHECK(dataset.images[0].annotations.size() == 1);
  REQUIRE(log.faults.size() == 3);
  CHECK(log.faults[0].kind == ProblemKind::unknown_class);
  CHECK(log.faults[1].kind == ProblemKind::malformed);
  CHECK_THAT(log.faults[1].text, Contains("a.txt:3: \"x\" is not a number"));
  CHECK(log.faults[2].kind == ProblemKind::empty_box);
  REQUIRE(log.boxes.size() == 2);
  CHECK(log.boxes[1].numbers == std::array<double, 4>{0.5, 0.5, 0, 0});

  Yolo yolo;
  yolo.labelled("a", "1 0.5 0.5 0.5 0.5");
  CHECK_THROWS_WITH(open_dataset(yolo.folder(), "train", {"cat"}),
                    Contains("a.txt:1 is of the class \"dog\", which the model does not have: it has cat"));
}

TEST_CASE("YOLO: faults of the layout are errors") {
  const auto error_of = [](const std::string& yaml) {
    Yolo yolo(yaml);
    yolo.labelled("a", "0 0.5 0.5 0.5 0.5");
    try {
      open_dataset(yolo.folder(), "train");
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  CHECK_THAT(error_of("names: [a\n"), Contains("data.yaml is not valid YAML: line "));
  CHECK_THAT(error_of("train: images/train\n"), Contains("data.yaml has no field names"));
  CHECK_THAT(error_of("train: images/train\nnames: []\n"), Contains("data.yaml names no class"));
  CHECK_THAT(error_of("train: images/train\nnames: [a, a]\n"), Contains("names the class \"a\" twice"));
  CHECK_THAT(error_of("train: images/train\nnames: {0: a, 2: b}\n"), Contains("names has no class 1"));
  CHECK_THAT(error_of("train: images/train\nnames: {x: a}\n"),
             Contains("data.yaml:2: names has the key \"x\""));
  CHECK_THAT(error_of("train: images/train\nnc: 3\nnames: [a, b]\n"),
             Contains("data.yaml:2: nc is 3, but names has 2 classes"));
  CHECK_THAT(
      error_of("train: images/nowhere\nnames: [a]\n"),
      Contains("data.yaml: train is ") && Contains("images/nowhere, but there is no such folder or list"));
  CHECK(error_of("names: [a]\n").empty());  // the folders define the splits
  CHECK_THAT(error_of("names: [a]\ntrain: images/train\nkpt_shape: [4]\n"),
             Contains("data.yaml:3: kpt_shape must be [number of keypoints, 2 or 3]"));
  CHECK(error_of("train: images/train\nnames: [a]\n").empty());

  Yolo yolo;
  yolo.image("images/train/a.png");
  CHECK_THROWS_WITH(open_dataset(yolo.folder(), "train"), Contains("none of the 1 images of ") &&
                                                              Contains("the file would be ") &&
                                                              Contains("labels/train/a.txt"));
  create_folder(yolo.file("images/val"));
  CHECK_THROWS_WITH(open_dataset(yolo.folder(), "val"), Contains("images/val has no image"));
  yolo.write("images/train/b.jpg", "no image");
  yolo.write("labels/train/a.txt", "0 0.5 0.5 0.5 0.5");
  CHECK_THROWS_WITH(open_dataset(yolo.folder(), "train"), Contains("images/train/b.jpg is no image"));
}

TEST_CASE("YOLO: with kpt_shape the first numbers of a row are the box, without it such rows are refused") {
  const std::string yaml = "train: images/train\nnames: [a]\n",
                    two = "0 .5 .5 .2 .2 .45 .5 .48 .5 .52 .5 .55 .5\n",
                    three = "0 .5 .5 .2 .2 .45 .5 2 .48 .5 1 .52 .5 2 0 0 0\n";
  for (const auto& [shape, row] :
       {std::pair("kpt_shape: [4, 2]\n", two), std::pair("kpt_shape: [4, 3]\n", three)}) {
    Yolo yolo(yaml + shape);
    yolo.labelled("a", row + "0 0.5 0.5 0.5 0.5\n");
    const DetectionDataset dataset = open_dataset(yolo.folder(), "train");
    REQUIRE(dataset.images[0].annotations.size() == 2);
    CHECK(numbers(dataset.images[0].annotations[0])[0] == Approx(40));
    CHECK(numbers(dataset.images[0].annotations[0])[2] == Approx(20));
    yolo.labelled("b", "0 .1 .1 .2 .1 .2 .2 .1 .2\n");
    CHECK_THROWS_WITH(
        open_dataset(yolo.folder(), "train"),
        Contains("b.txt:1 has 9 numbers: 5 were expected") && Contains("with the keypoints of kpt_shape"));
  }
  for (const std::string& row : {two, three})
    CHECK_THROWS_WITH(read_one(row + row + row), Contains("seem to be a box with keypoints, not an outline"));
  CHECK(read_one("0 .1 .1 .4 .1 .5 .5 .3 .6 .2 .5\n0 .1 .1 .4 .1 .5 .5 .3 .6 .2 .5\n0 .5 .5 .9 .9 .9 .2 .1 "
                 ".5 .2 .5\n")
            .images[0]
            .annotations.size() == 3);
}

TEST_CASE("YOLO: what is left out is counted: pictures in unsupported formats, text files without an image") {
  Yolo yolo;
  yolo.labelled("a", "0 0.5 0.5 0.5 0.5\n");
  yolo.write("images/train/b.heic", "picture");
  yolo.write("labels/train/b.txt", "0 0.5 0.5 0.5 0.5\n");
  yolo.write("labels/train/c.txt", "0 0.5 0.5 0.5 0.5\n");
  const DetectionDataset dataset = open_dataset(yolo.folder(), "train");
  REQUIRE(dataset.warnings.size() == 2);
  CHECK_THAT(dataset.warnings[0], Contains("b.heic is in an unsupported format"));
  CHECK_THAT(dataset.warnings[1], Contains("2 annotations without an image, left out; the first: ") &&
                                      Contains("labels/train/b.txt has no image in "));
}

TEST_CASE("YOLO: a place that does not exist is not replaced by another split's") {
  Yolo yolo("train: images/train\nval: /mnt/elsewhere/images/train\nnames: red\n");
  yolo.labelled("a", "0 0.5 0.5 0.5 0.5\n");
  CHECK(open_dataset(yolo.folder(), "train").class_names == Names{"red"});
  CHECK_THROWS_WITH(open_dataset(yolo.folder(), "val"),
                    Contains("val is /mnt/elsewhere/images/train, but there is no such folder or list"));
  Yolo inside("train: images/train\nval: /mnt/elsewhere/images\nnames: [a]\n");
  inside.labelled("a", "0 0.5 0.5 0.5 0.5\n");
  CHECK_THROWS_WITH(open_dataset(inside.folder(), "val"), Contains("no such folder or list"));
  Yolo windows("train: D:\\set\\images\\train\nval: images%2Ftrain\nnames: [a]\n");
  windows.labelled("a", "0 0.5 0.5 0.5 0.5\n");
  CHECK(open_dataset(windows.folder(), "val").images.size() == 1);
}

TEST_CASE("YOLO: byte-order marks are not part of names and rows, and text that is not UTF-8 is escaped") {
  Yolo yolo("");
  yolo.write("classes.txt", "\xEF\xBB\xBFred\r\ngr\xFCn\n");
  yolo.labelled("a",
                "\xEF\xBB\xBF"
                "0 0.5 0.5 0.5 0.5\n");
  const DetectionDataset dataset = open_dataset(yolo.folder(), "train");
  CHECK(dataset.class_names == Names{"red", "gr\\xFCn"});
  CHECK(dataset.images[0].annotations.size() == 1);
  REQUIRE(dataset.warnings.size() == 1);
  CHECK_THAT(dataset.warnings[0], Contains("classes.txt:2 is not UTF-8"));
}

TEST_CASE("YOLO: a text file is beside its image or in labels/ instead of the last images/") {
  CHECK(yolo_label_file("a/images/train/images/1.jpg") == "a/images/train/labels/1.txt");
  CHECK(yolo_label_file("/data/images/x.tar/1.png") == "/data/labels/x.tar/1.txt");
  CHECK(yolo_label_file("a/b/1.jpg") == "a/b/1.txt");
}
