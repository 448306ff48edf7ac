#include "train/data/voc.h"

#include <catch2/catch.hpp>

#include "core/error.h"
#include "core/file.h"
#include "tests/support/test_data.h"
#include "train/data/dataset.h"
#include "train/data/image/image_io.h"

using namespace fovea;
using Catch::Contains;

namespace {

std::string object(const std::string& name, const std::string& xmin, const std::string& ymin,
                   const std::string& xmax, const std::string& ymax, const std::string& more = "") {
  return fmt::format(
      "<object><name>{}</name>{}<bndbox><xmin>{}</xmin><ymin>{}</ymin><xmax>{}</xmax><ymax>{}</ymax></bndbox>"
      "</object>\n",
      name, more, xmin, ymin, xmax, ymax);
}

std::string annotation(const std::string& objects, const std::string& file_name = "",
                       const std::string& size = "<width>100</width><height>80</height><depth>3</depth>") {
  return "<annotation>\n<folder>x</folder><filename>" + file_name +
         "</filename><path>/elsewhere/1.jpg</path>\n<size>" + size + "</size>\n" + objects +
         "</annotation>\n";
}

// A data set in VOC's layout, made file by file.
class Voc {
 public:
  Voc() {
    for (const char* name : {"Annotations", "JPEGImages", "ImageSets/Main"}) create_folder(folder_ / name);
  }
  const std::string& folder() const { return folder_.path(); }
  std::string file(const std::string& name) const { return folder_ / name; }
  void write(const std::string& name, const std::string& content) const {
    write_file_atomically(file(name), content);
  }
  void image(const std::string& stem, const std::string& xml) const {
    write("Annotations/" + stem + ".xml", xml);
    write("JPEGImages/" + stem + ".jpg", "image");
  }
  DetectionDataset read(const std::string& stems, const std::vector<std::string>& class_names = {}) const {
    write("list.txt", stems);
    return read_voc(folder(), {file("list.txt")}, class_names);
  }

 private:
  TemporaryFolder folder_;
};

DetectionDataset read_one(const std::string& xml, const std::vector<std::string>& class_names = {}) {
  Voc voc;
  voc.image("a", xml);
  return voc.read("a\n", class_names);
}

const std::string good = object("cat", "11", "12", "21", "32");

// The only warning for a bad box beside a good one.
std::string warning_of_box(const std::string& xmin, const std::string& ymin, const std::string& xmax,
                           const std::string& ymax, size_t boxes_left) {
  const DetectionDataset dataset = read_one(annotation(good + object("dog", xmin, ymin, xmax, ymax)));
  REQUIRE(dataset.warnings.size() == 1);
  CHECK(dataset.images[0].annotations.size() == boxes_left);
  CHECK(dataset.class_names == std::vector<std::string>{"cat", "dog"});
  REQUIRE_THAT(dataset.warnings[0], Contains("Annotations/a.xml: object 2 (dog) has "));
  return dataset.warnings[0].substr(dataset.warnings[0].find("has ") + 4);
}

}  // namespace

TEST_CASE("Pascal VOC: boxes, classes of all files, ids by position") {
  Voc voc;
  voc.image("one", annotation(object("zebra", "1", "1", "100", "80", "<difficult>1</difficult>") +
                              object(" cat ", "10.5", " 20 ", "30.25", "40",
                                     "<part><name>head</name><bndbox><xmin>0</xmin></bndbox></part>")));
  voc.image("two", annotation(""));
  voc.image("three", annotation(object("ant", "1", "2", "3", "4")));
  const DetectionDataset dataset = voc.read("two\r\n\n  one  \n");
  CHECK(dataset.name == voc.file("list.txt"));
  CHECK(dataset.class_names == std::vector<std::string>{"ant", "cat", "zebra"});
  CHECK(dataset.category_ids == std::vector<int>{1, 2, 3});
  CHECK(dataset.warnings.empty());
  REQUIRE(dataset.images.size() == 2);
  CHECK(dataset.images[0].annotations.empty());
  const LabelledImage& one = dataset.images[1];
  CHECK(one.id == 2);
  CHECK(one.file == voc.file("JPEGImages/one.jpg"));
  CHECK(one.width == 100);
  CHECK(one.height == 80);
  REQUIRE(one.annotations.size() == 2);
  const Annotation &zebra = one.annotations[0], &cat = one.annotations[1];
  CHECK(std::vector{zebra.x, zebra.y, zebra.width, zebra.height, zebra.area} ==
        std::vector{1.0, 1.0, 99.0, 79.0, 7821.0});
  CHECK(zebra.difficult);
  CHECK(zebra.label == 2);
  CHECK(std::vector{cat.x, cat.y, cat.width, cat.height} == std::vector{10.5, 20.0, 19.75, 20.0});
  CHECK(cat.label == 1);
  CHECK_FALSE(cat.difficult);
  CHECK_FALSE(cat.crowd);
}

TEST_CASE("Pascal VOC: given classes decide labels") {
  const std::string xml = annotation(good + object("dog", "1", "2", "3", "4"));
  const DetectionDataset dataset = read_one(xml, {"dog", "cow", "cat"});
  CHECK(dataset.class_names == std::vector<std::string>{"dog", "cow", "cat"});
  CHECK(dataset.images[0].annotations[0].label == 2);
  CHECK(dataset.images[0].annotations[1].label == 0);
  CHECK_THROWS_WITH(
      read_one(xml, {"cow", "cat"}),
      Contains(
          "Annotations/a.xml: object 2 (dog) is of a class that the model does not have: it has cow, cat"));
}

TEST_CASE("Pascal VOC: broken boxes are warnings") {
  CHECK(warning_of_box("50", "40", "50", "40", 1) ==
        "xmin 50, ymin 40, xmax 50, ymax 40, which is not a positive finite size: the box is left out");
  CHECK_THAT(warning_of_box("50", "40", "30", "45", 1), Contains("not a positive finite size"));  // reversed
  CHECK_THAT(warning_of_box("1", "1", "30", "nan", 1),
             Contains("ymax nan, which is not a positive finite size"));
  CHECK_THAT(warning_of_box("1", "1", "inf", "9", 1),
             Contains("xmax inf, ymax 9, which is not a positive finite size"));
  CHECK(warning_of_box("100", "1", "120", "9", 1) ==
        "xmin 100, ymin 1, xmax 120, ymax 9, which is outside its image: the box is left out");
  CHECK(warning_of_box("-5", "70", "20", "90.5", 2) ==
        "xmin -5, ymin 70, xmax 20, ymax 90.5, which reaches outside its image: the box is cut off at the "
        "border");
  const DetectionDataset dataset = read_one(annotation(object("dog", "-5", "70", "20", "90.5")));
  const Annotation& a = dataset.images[0].annotations[0];
  CHECK(std::vector{a.x, a.y, a.width, a.height, a.area} == std::vector{0.0, 70.0, 20.0, 10.0, 200.0});
}

TEST_CASE("Pascal VOC: faults of an XML file are errors with their place") {
  CHECK_THROWS_WITH(read_one("<annotation>\n<size>\n</annotation>"),
                    Contains("Annotations/a.xml is not valid XML: line 3: ") && Contains("mismatch"));
  CHECK_THROWS_WITH(read_one(annotation(good).substr(0, 200)), Contains("a.xml is not valid XML: line 4"));
  CHECK_THROWS_WITH(read_one(""), Contains("a.xml is not valid XML: line 1"));
  CHECK_THROWS_WITH(read_one("<note/>"), Contains("a.xml has no element <annotation>"));
  CHECK_THROWS_WITH(read_one(annotation(good + "<object><bndbox/></object>")),
                    Contains("a.xml: object 2 () has no <name>"));
  CHECK_THROWS_WITH(read_one(annotation("<object><name>cat</name></object>")),
                    Contains("a.xml: object 1 (cat) has no <bndbox>"));
  CHECK_THROWS_WITH(read_one(annotation("<object><name>cat</name><bndbox><xmin>1</xmin></bndbox></object>")),
                    Contains("a.xml: object 1 (cat) has no <ymin>"));
  CHECK_THROWS_WITH(read_one(annotation(object("cat", "1", "2", "3px", "4"))),
                    Contains("a.xml: <xmax> of object 1 (cat) is \"3px\": a number was expected"));
  CHECK_THROWS_WITH(read_one(annotation(object("cat", "1", "", "3", "4"))),
                    Contains("<ymin> of object 1 (cat) is \"\""));
  CHECK_THROWS_WITH(read_one(annotation(good, "", "<width>wide</width>")),
                    Contains("<width> of <size> is \"wide\""));
  CHECK_THROWS_WITH(read_one(annotation("")), Contains("Annotations: no file holds an <object>"));
}

TEST_CASE("Pascal VOC: the image is found by stem, else by file name") {
  Voc voc;
  voc.write("Annotations/a.xml", annotation(good, "other.tif"));
  voc.write("Annotations/b.xml", annotation(good, "a.PNG"));
  voc.write("Annotations/c.xml", annotation(good, "c"));
  voc.write("Annotations/d.xml", annotation(good, std::string(300, 'd')));  // a name that no file can have
  voc.write("JPEGImages/a.PNG", "image");
  voc.write("JPEGImages/other.tif", "image");
  voc.write("JPEGImages/c.bmp", "image");
  const DetectionDataset dataset = voc.read("a\nb\nc\nd\n" + std::string(300, 'e') + "\n");
  REQUIRE(dataset.images.size() == 3);
  REQUIRE(dataset.warnings.size() == 2);
  CHECK_THAT(dataset.warnings[0],
             Contains("d.xml: ") && Contains("has neither an image d nor the <filename>"));
  CHECK_THAT(dataset.warnings[1], Contains("but there is no file"));
  CHECK(dataset.images[0].file == voc.file("JPEGImages/a.PNG"));
  CHECK(dataset.images[1].file == voc.file("JPEGImages/a.PNG"));
  CHECK(dataset.images[2].file == voc.file("JPEGImages/c.bmp"));
}

TEST_CASE("Pascal VOC: missing images are left out with a warning") {
  Voc voc;
  voc.image("a", annotation(good));
  voc.write("Annotations/b.xml", annotation(good, "b.jpg"));
  const DetectionDataset dataset = voc.read("b\nc\na\na\n");
  REQUIRE(dataset.images.size() == 1);
  CHECK(dataset.images[0].id == 1);
  REQUIRE(dataset.warnings.size() == 3);
  CHECK_THAT(
      dataset.warnings[0],
      Contains("Annotations/b.xml: ") &&
          Contains(
              "JPEGImages has neither an image b nor the <filename> \"b.jpg\": the annotation is left out"));
  CHECK_THAT(dataset.warnings[1], Contains("list.txt names c, but there is no file ") &&
                                      Contains("Annotations/c.xml: the image is left out"));
  CHECK_THAT(dataset.warnings[2], Contains("list.txt names a again: it is used once"));
  CHECK_THROWS_WITH(voc.read("b\nc\n"), Contains("none of the 2 images that ") && Contains("list.txt names"));
  CHECK_THROWS_WITH(voc.read("\n"), Contains("list.txt names no image"));
}

TEST_CASE("Pascal VOC: a size that the XML lacks is the image's") {
  Voc voc;
  voc.write("Annotations/a.xml", annotation(good, "", "<width>0</width><height>0</height>"));
  write_image(voc.file("JPEGImages/a.png"), Image(40, 30));
  const DetectionDataset dataset = voc.read("a");
  CHECK(dataset.images[0].width == 40);
  CHECK(dataset.images[0].height == 30);
  REQUIRE(dataset.warnings.size() == 2);  // and its box, which ends at 32, is cut off at 30
  CHECK_THAT(dataset.warnings[0],
             Contains("a.xml: <size> is 0 x 0: the size of ") && Contains("a.png, 40 x 30, is taken"));
}

TEST_CASE("Pascal VOC: an empty size is the image's, text that is not UTF-8 is escaped and named") {
  Voc voc;
  voc.write("Annotations/a.xml",
            annotation(object("caf\xE9", "11", "12", "21", "22"), "", "<width></width>"));
  write_image(voc.file("JPEGImages/a.png"), Image(40, 30));
  const DetectionDataset dataset = voc.read(
      "\xEF\xBB\xBF"
      "a\n");
  CHECK(dataset.images[0].height == 30);
  CHECK(dataset.class_names == std::vector<std::string>{"caf\\xE9"});
  REQUIRE(dataset.warnings.size() == 2);
  CHECK_THAT(dataset.warnings[1], Contains("a.xml:4 is not UTF-8"));
}

TEST_CASE("blood cells of the test data") {
  const auto folder = test_data("bccd");
  if (!folder) {
    WARN("bccd is missing in the test data: only the data sets made here were tested");
    return;
  }
  CHECK(dataset_splits(*folder) == std::vector<std::string>{"test", "train", "trainval", "val"});
  const DetectionDataset all = open_dataset(*folder, "train+val+test");
  CHECK(all.images.size() == 364);
  CHECK(all.class_names == std::vector<std::string>{"Platelets", "RBC", "WBC"});
  std::vector<int> counts(3);
  for (const LabelledImage& image : all.images)
    for (const Annotation& a : image.annotations) ++counts[size_t(a.label)];
  CHECK(counts == std::vector<int>{361, 4153, 372});  // 4888 with the two broken ones, which are RBC
  REQUIRE(all.warnings.size() == 2);
  CHECK_THAT(
      all.warnings[0],
      Contains("BloodImage_00343.xml: object ") &&
          Contains("(RBC) has xmin 181, ymin 329, xmax 181, ymax 329, which is not a positive finite size"));
  CHECK_THAT(all.warnings[1],
             Contains("BloodImage_00338.xml: object 13 (RBC) has xmin 504, ymin 337, xmax 504, ymax 337"));
  CHECK(open_dataset(*folder, "val", all.class_names).images.size() == 87);
  CHECK(open_dataset(*folder, "splits/quick_val.txt").images.size() == 29);
  CHECK(read_image(all.images[0].file).width == 640);
}
