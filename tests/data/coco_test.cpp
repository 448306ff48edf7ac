#include "train/data/coco.h"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>
#include <numeric>

#include "core/error.h"
#include "core/file.h"
#include "tests/support/test_data.h"
#include "train/data/image/image_io.h"

using namespace fovea;
using Catch::Contains;
using nlohmann::json;

namespace {

// Two images, categories with gaps and out of order, a crowd, an image without boxes.
json small() {
  return json::parse(R"({
    "info": {"year": 2024},
    "images": [{"id": 30, "file_name": "b.jpg", "width": 640, "height": 480},
               {"id": 7, "file_name": "a.jpg", "width": 100, "height": 50}],
    "categories": [{"id": 18, "name": "dog", "supercategory": "animal"}, {"id": 3, "name": "cat"}],
    "annotations": [
      {"id": 5, "image_id": 30, "category_id": 18, "bbox": [10.125, 20.5, 30.25, 40], "area": 617.375, "iscrowd": 0,
       "segmentation": [[1, 2, 3, 4]]},
      {"id": 6, "image_id": 30, "category_id": 3, "bbox": [0, 0, 640.4, 480], "iscrowd": 1}]})");
}

// A file to read and a folder with the images that it names.
class Files {
 public:
  explicit Files(const json& content = small()) : Files(content.dump()) {}
  explicit Files(const std::string& content) {
    write_file_atomically(file(), content);
    for (const char* name : {"a.jpg", "b.jpg"}) write_file_atomically(folder_ / name, "image");
  }
  std::string file() const { return folder_ / "instances.json"; }
  const std::string& folder() const { return folder_.path(); }
  DetectionDataset read(const std::vector<std::string>& class_names = {},
                        const CocoOptions& options = {}) const {
    return read_coco(file(), {folder() + "/none", folder()}, class_names, options);
  }

 private:
  TemporaryFolder folder_;
};

// The one warning that a change of the small file brings, after "<file>: ".
std::string warning_of(const std::function<void(json&)>& change, size_t boxes_left) {
  json content = small();
  change(content);
  const DetectionDataset dataset = Files(content).read();
  REQUIRE(dataset.warnings.size() == 1);
  size_t boxes = 0;
  for (const LabelledImage& image : dataset.images) boxes += image.annotations.size();
  CHECK(boxes == boxes_left);
  REQUIRE_THAT(dataset.warnings[0], Contains("instances.json: "));
  return dataset.warnings[0].substr(dataset.warnings[0].find("instances.json: ") + 16);
}

std::string error_of(const std::function<void(json&)>& change) {
  json content = small();
  change(content);
  const Files files(content);
  try {
    files.read();
  } catch (const Error& error) {
    const std::string text = error.what();
    REQUIRE_THAT(text, Contains(files.file()));
    return text.substr(text.find(files.file()) + files.file().size());
  }
  return "no error";
}

}  // namespace

TEST_CASE("a COCO file keeps its order, ids and numbers, classes come by category id") {
  const Files files;
  const DetectionDataset dataset = files.read();
  CHECK(dataset.name == files.file());
  CHECK(dataset.class_names == std::vector<std::string>{"cat", "dog"});
  CHECK(dataset.category_ids == std::vector<int>{3, 18});
  CHECK(dataset.warnings.empty());
  REQUIRE(dataset.images.size() == 2);
  const LabelledImage& image = dataset.images[0];
  CHECK(image.id == 30);
  CHECK(image.file == files.folder() + "/b.jpg");
  CHECK(image.width == 640);
  CHECK(image.height == 480);
  CHECK(dataset.images[1].id == 7);
  CHECK(dataset.images[1].annotations.empty());
  REQUIRE(image.annotations.size() == 2);
  const Annotation &dog = image.annotations[0], &crowd = image.annotations[1];
  CHECK(std::vector{dog.x, dog.y, dog.width, dog.height} == std::vector{10.125, 20.5, 30.25, 40.0});
  CHECK(dog.area == 617.375);
  CHECK(dog.label == 1);
  CHECK_FALSE(dog.crowd);
  CHECK(crowd.crowd);
  CHECK(crowd.label == 0);
  CHECK(crowd.width == 640.4);       // within a pixel of the border: kept, and no warning
  CHECK(crowd.area == 640.4 * 480);  // the file has none
  CHECK_FALSE(crowd.difficult);
}

TEST_CASE("given classes decide labels, an object of another class is an error") {
  const Files files;
  const DetectionDataset dataset = files.read({"dog", "horse", "cat"});
  CHECK(dataset.class_names == std::vector<std::string>{"dog", "horse", "cat"});
  CHECK(dataset.category_ids == std::vector<int>{18, 19, 3});
  CHECK(dataset.images[0].annotations[0].label == 0);
  CHECK(dataset.images[0].annotations[1].label == 2);
  CHECK_THROWS_WITH(
      files.read({"cat", "horse"}),
      Contains("annotations[0] is of the class \"dog\", which the model does not have: it has cat, horse"));
  json without = small();
  without["annotations"].erase(0);
  CHECK(Files(without).read({"cat"}).images[0].annotations.size() ==
        1);  // a class without objects does no harm
}

TEST_CASE("faults of single images and boxes are warnings") {
  const auto box = [](json value) { return [=](json& c) { c["annotations"][0]["bbox"] = value; }; };
  CHECK(warning_of([](json& c) { c["images"][1]["file_name"] = "gone.jpg"; }, 2)
            .starts_with("images[1].file_name is \"gone.jpg\", which is not in "));
  CHECK(warning_of([](json& c) { c["images"][0]["file_name"] = "gone.jpg"; }, 0)
            .ends_with(": the image is left out"));
  CHECK(warning_of([](json& c) { c["annotations"][1]["image_id"] = 99; }, 1) ==
        "annotations[1].image_id is 99, but no image has this id: the box is left out");
  // pycocotools counts a box without an area; only what is not finite is left out.
  const std::string no_size = ", whose width and height are not both greater than 0 and finite: ";
  const std::string counts = no_size + "training ignores it, and evaluation counts it as an object";
  CHECK(warning_of(box({5, 6, 0, 10}), 2) == "annotations[0].bbox is [5, 6, 0, 10]" + counts);
  CHECK(warning_of(box({5, 6, 10, -4}), 2) == "annotations[0].bbox is [5, 6, 10, -4]" + counts);
  CHECK(warning_of(box({1e308, 6, 1e308, 4}), 1) ==
        "annotations[0].bbox is [1e+308, 6, 1e+308, 4]" + no_size + "the box is left out");
  const std::string outside =
      ", which is not within its image of 640 x 480 pixels: training cuts it off there, evaluation uses it "
      "as it is";
  CHECK(warning_of(box({600, 6, 50, 4}), 2) ==
        fmt::format("{}{}", "annotations[0].bbox is [600, 6, 50, 4]", outside));
  CHECK(warning_of(box({-1.5, 6, 50, 4}), 2) ==
        fmt::format("{}{}", "annotations[0].bbox is [-1.5, 6, 50, 4]", outside));
  CHECK(warning_of(box({700, 500, 50, 4}), 2) ==
        fmt::format("{}{}", "annotations[0].bbox is [700, 500, 50, 4]", outside));
}

TEST_CASE("missing fields and wrong types are errors with their place") {
  CHECK_THAT(error_of([](json& c) { c.erase("categories"); }), Contains(" has no list \"categories\""));
  CHECK_THAT(error_of([](json& c) { c["annotations"] = "none"; }), Contains(" has no list \"annotations\""));
  CHECK_THAT(error_of([](json& c) { c = json::array(); }), Contains(" has no list"));
  CHECK(error_of([](json& c) { c["images"][1] = 4; }) == ": images[1] is 4: an object was expected");
  CHECK(error_of([](json& c) { c["annotations"][1].erase("bbox"); }) ==
        ": annotations[1] has no field \"bbox\"");
  CHECK(error_of([](json& c) {
          c["annotations"][0]["image_id"] = "thirty";
        }).starts_with(": annotations[0].image_id is \"thirty\": a whole number from "));
  CHECK(error_of([](json& c) {
          c["images"][0]["id"] = 1.5;
        }).starts_with(": images[0].id is 1.5: a whole number"));
  CHECK(error_of([](json& c) { c["images"][0]["width"] = 1 << 25; }) ==
        ": images[0].width is 33554432: a whole number from -1 to 16777216 was expected");
  CHECK(error_of([](json& c) {
          c["images"][0]["id"] = 18446744073709551615u;
        }).starts_with(": images[0].id is 18446744073709551615: "));
  CHECK(error_of([](json& c) { c["images"][0]["file_name"] = ""; }) ==
        ": images[0].file_name is \"\": a text was expected");
  CHECK(error_of([](json& c) {
          c["annotations"][0]["bbox"] = {1, 2, 3};
        }) == ": annotations[0].bbox is [1,2,3]: four numbers, left, top, width and height, was expected");
  CHECK_THAT(error_of([](json& c) { c["annotations"][0]["bbox"][2] = nullptr; }),
             Contains(".bbox is [10.125,20.5,null,40]"));
  CHECK(error_of([](json& c) { c["annotations"][0]["area"] = "big"; }) ==
        ": annotations[0].area is \"big\": a number was expected");
  CHECK(error_of([](json& c) { c["annotations"][0]["iscrowd"] = 2; }) ==
        ": annotations[0].iscrowd is 2: a whole number from 0 to 1 was expected");
  CHECK(error_of([](json& c) { c["annotations"][0]["category_id"] = 4; }) ==
        ": annotations[0].category_id is 4, which is not among \"categories\"");
  const std::string long_text(1000, 'x');
  CHECK(error_of([&](json& c) { c["annotations"][0]["area"] = long_text; }).size() < 150);
}

TEST_CASE("repeated ids and names, and empty lists, are errors") {
  CHECK(error_of([](json& c) {
          c["images"][1]["id"] = 30;
        }).starts_with(": images[1].id is 30, which an earlier image already has"));
  CHECK(error_of([](json& c) {
          c["categories"][1]["id"] = 18;
        }).starts_with(": categories[1] is 18 \"cat\", but there is already 18 \"dog\""));
  CHECK(error_of([](json& c) {
          c["categories"][1]["name"] = "dog";
        }).starts_with(": categories[1] is 3 \"dog\", but there is already 18 \"dog\""));
  CHECK(error_of([](json& c) { c["images"].clear(); }) ==
        ": the list \"images\" is empty: a data set needs an image");
  CHECK(error_of([](json& c) { c["categories"].clear(); }).starts_with(": the list \"categories\" is empty"));
  json content = small();
  for (json& image : content["images"]) image["file_name"] = "gone.jpg";
  CHECK_THROWS_WITH(Files(content).read(), Contains("none of the 2 images that "));
}

TEST_CASE("invalid JSON is an error with its position") {
  CHECK_THROWS_WITH(Files(std::string("{\"images\": [\n}")).read(),
                    Contains("instances.json is not valid JSON: parse error at line 2, column 1"));
  CHECK_THROWS_WITH(Files(small().dump().substr(0, 200)).read(),
                    Contains("instances.json is not valid JSON: parse error at"));
  CHECK_THROWS_WITH(Files(std::string("{\"images\": [NaN]}")).read(),
                    Contains("line 1, column 13") && Contains("NaN and Infinity are not JSON"));
  CHECK_THROWS_WITH(Files(std::string("[1e999]")).read(), Contains("1e999"));
  CHECK_THROWS_WITH(Files(std::string()).read(), Contains("is not valid JSON"));
  CHECK_THROWS_WITH(
      Files("{\"images\": [" + std::string(100000, '[') + std::string(100000, ']') + "]}").read(),
      Contains("instances.json has lists or objects nested more than 100 deep"));
  CHECK_THROWS_WITH(read_coco("none.json", {"."}), Contains("none.json cannot be read"));
}

TEST_CASE("ground truth can be read without its images") {
  json content = small();
  content["images"][0]["file_name"] = "gone.jpg";
  const DetectionDataset dataset = Files(content).read({}, {.require_images = false});
  CHECK(dataset.warnings.empty());
  REQUIRE(dataset.images.size() == 2);
  CHECK(dataset.images[0].file == "gone.jpg");
  CHECK(dataset.images[0].annotations.size() == 2);
  CHECK_THROWS_WITH(read_coco("a.json", {}), Contains("no folder was given with the images of a.json"));
}

TEST_CASE("what is written is read back to the last bit") {
  const Files files;
  DetectionDataset dataset = files.read();
  dataset.images[0].annotations[0].x = 0.1 + 0.2;
  dataset.images[0].annotations[0].area = 1.0 / 3;
  const std::string copy = files.folder() + "/copy.json";
  write_coco(copy, dataset, files.folder());
  CHECK(json::parse(read_file(copy))["images"][0]["file_name"] == "b.jpg");
  const DetectionDataset back = read_coco(copy, {files.folder()});
  CHECK(back.class_names == dataset.class_names);
  CHECK(back.category_ids == dataset.category_ids);
  REQUIRE(back.images.size() == 2);
  for (size_t i = 0; i < 2; ++i) {
    CHECK(back.images[i].id == dataset.images[i].id);
    CHECK(back.images[i].file == dataset.images[i].file);
    REQUIRE(back.images[i].annotations.size() == dataset.images[i].annotations.size());
    for (size_t j = 0; j < back.images[i].annotations.size(); ++j) {
      const Annotation &a = back.images[i].annotations[j], &b = dataset.images[i].annotations[j];
      CHECK((a.x == b.x && a.y == b.y && a.width == b.width && a.height == b.height && a.area == b.area));
      CHECK((a.label == b.label && a.crowd == b.crowd));
    }
  }
  CHECK(back.images[0].annotations[0].x == 0.30000000000000004);

  dataset.class_names = {"caf\xE9", "dog"};
  write_coco(copy, dataset);
  CHECK(json::parse(read_file(copy))["categories"][0]["name"] == "caf\\xE9");
}

TEST_CASE("numbers in quotes and with a needless point are read, and a missing size is the image's") {
  json content = small();
  content["images"][0]["id"] = "30";
  content["images"][1]["id"] = 7.0;
  content["images"][0].erase("width");
  content["images"][1]["height"] = -1;
  content["annotations"][0]["image_id"] = 30.0;
  content["annotations"][0]["category_id"] = "18";
  content["annotations"][0]["bbox"] = {"1", "2.5", 3, 4};
  content["annotations"][0]["area"] = "12";
  const Files files(content);
  for (const char* name : {"a.jpg", "b.jpg"}) write_image(files.folder() + "/" + name, Image(90, 70));
  const DetectionDataset dataset = files.read();
  REQUIRE(dataset.images.size() == 2);
  CHECK(dataset.images[0].width == 90);
  CHECK(dataset.images[1].height == 70);
  CHECK(dataset.images[1].id == 7);
  const Annotation& a = dataset.images[0].annotations.at(0);
  CHECK(std::vector{a.x, a.y, a.width, a.height, a.area} == std::vector{1.0, 2.5, 3.0, 4.0, 12.0});
  REQUIRE(dataset.warnings.size() == 3);
  CHECK_THAT(dataset.warnings[0], Contains("2 annotations without the image's size; the first: ") &&
                                      Contains("images[0] has no size: that of ") &&
                                      Contains("b.jpg, 90 x 70"));
  CHECK_THAT(dataset.warnings[1], Contains("5 fields with numbers in quotes") && Contains("is read as "));

  for (json& image : content["images"]) image = {{"id", image["id"]}};  // truth for results made elsewhere
  CHECK(Files(content).read({}, {.require_images = false}).images[0].annotations.size() == 2);
  for (json& image : content["images"]) image["id"] = "first";
  ReadLog log;
  CHECK_THROWS_WITH(Files(content).read({}, {.require_images = false, .log = &log}),
                    Contains("no entry of the list \"images\" can be used"));
}

TEST_CASE("paths of another machine lead to the images, but never two to one") {
  json content = small();
  content["images"][0]["file_name"] = "D:\\data\\my%20set\\b.jpg";
  content["images"][1]["file_name"] = "../../elsewhere/a.jpg";
  const Files files(content);
  CHECK(files.read().warnings.empty());
  CHECK(files.read().images[0].file == files.folder() + "/b.jpg");
  content["images"][1]["file_name"] = "/elsewhere/b.jpg";
  const DetectionDataset dataset = Files(content).read();
  CHECK(dataset.images.size() == 1);
  REQUIRE(dataset.warnings.size() == 1);
  CHECK_THAT(dataset.warnings[0], Contains("b.jpg is another image's: the image is left out"));
}

TEST_CASE("a COCO file that is not UTF-8 is read, and its faults are named by line") {
  json content = small();
  std::string text = content.dump();
  text.replace(text.find("\"dog\""), 5, "\"d\xF6g\"");
  const DetectionDataset dataset = Files(text).read();
  CHECK(dataset.class_names == std::vector<std::string>{"cat", "d\\xF6g"});
  REQUIRE(dataset.warnings.size() == 1);
  CHECK_THAT(dataset.warnings[0], Contains("instances.json:1 is not UTF-8"));
  CHECK(Files("\xEF\xBB\xBF" + content.dump()).read().warnings.empty());
}

TEST_CASE("the official COCO file") {
  const auto file = test_data("eval_coco/official/instances_val2014_100.json");
  if (!file) {
    WARN("eval_coco is missing in the test data: only the small file made here was tested");
    return;
  }
  const DetectionDataset dataset = read_coco(*file, {}, {}, {.require_images = false});
  CHECK(dataset.images.size() == 100);
  CHECK(dataset.class_names.size() == 80);
  CHECK(dataset.category_ids.back() == 90);
  CHECK(dataset.warnings.empty());
  const json root = json::parse(read_file(*file));
  size_t boxes = 0, crowds = 0;
  double area = 0, file_area = 0;
  for (const LabelledImage& image : dataset.images)
    for (const Annotation& a : image.annotations) {
      ++boxes;
      crowds += a.crowd;
      area = std::max(area, a.area * a.x);
    }
  for (const json& a : root["annotations"])
    file_area = std::max(file_area, a["area"].get<double>() * a["bbox"][0].get<double>());
  CHECK(boxes == 839);
  CHECK(crowds == 9);
  CHECK(area == file_area);
}
