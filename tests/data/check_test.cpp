#include "train/data/check.h"

#include <catch2/catch.hpp>
#include <functional>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/file.h"
#include "core/random.h"
#include "tests/support/test_data.h"
#include "train/data/box_check.h"
#include "train/data/coco.h"

using namespace fovea;
using Catch::Contains;

namespace {

// An image unlike any other: noise in coarse blocks, from the seed.
Image noise(uint64_t seed, int width = 96, int height = 64) {
  Random random(seed);
  std::vector<uint8_t> levels(size_t(12 * 8));
  for (uint8_t& level : levels) level = uint8_t(random.uniform() * 255);
  Image image(width, height);
  for (int y = 0; y < height; ++y)
    for (int x = 0; x < width; ++x)
      for (int c = 0; c < 3; ++c) image.at(x, y)[c] = levels[size_t(y * 8 / height * 12 + x * 12 / width)];
  return image;
}

// A good COCO data set of 12 training and 4 validation images, whose files a test then damages.
class Coco {
 public:
  using json = nlohmann::json;
  json train = part(0, 12), val = part(12, 4);

  Coco() {
    create_folder(folder_ / "annotations");
    create_folder(folder_ / "images");
    for (int i = 0; i < 16; ++i) write_image(image_file(i), noise(uint64_t(i) + 1));
  }
  std::string image_file(int i) const { return folder_ / fmt::format("images/{}.png", i); }
  const std::string& folder() const { return folder_.path(); }
  DatasetCheck check(const DatasetCheckOptions& options = {}) const {
    write_file_atomically(folder_ / "annotations/instances_train.json", train.dump());
    write_file_atomically(folder_ / "annotations/instances_val.json", val.dump());
    return check_dataset(folder(), options);
  }

 private:
  static json part(int first, int count) {
    json root{{"images", json::array()}, {"annotations", json::array()}, {"categories", json::array()}};
    root["categories"] = {{{"id", 3}, {"name", "cat"}}, {{"id", 7}, {"name", "dog"}}};
    for (int i = first; i < first + count; ++i) {
      root["images"].push_back(
          {{"id", i}, {"file_name", fmt::format("{}.png", i)}, {"width", 96}, {"height", 64}});
      for (int k = 0; k < 2; ++k)
        root["annotations"].push_back({{"id", 2 * i + k},
                                       {"image_id", i},
                                       {"category_id", k == 0 ? 3 : 7},
                                       {"bbox", {4 + 40 * k, 5 + i, 24, 30}},
                                       {"iscrowd", 0}});
    }
    return root;
  }

  TemporaryFolder folder_;
};

// The sentences of the faults of one kind.
std::vector<std::string> texts(const DatasetCheck& check, ProblemKind kind) {
  std::vector<std::string> found;
  for (const Problem& fault : check.faults)
    if (fault.kind == kind) found.push_back(fault.text);
  return found;
}

// The only faults of a data set that was damaged in one place.
std::vector<std::string> only(const DatasetCheck& check, ProblemKind kind) {
  for (const Problem& fault : check.faults)
    if (fault.kind != kind) FAIL_CHECK(text_of(fault.kind).heading << ": " << fault.text);
  return texts(check, kind);
}

std::vector<RawBox> random_boxes(
    const std::function<std::array<double, 4>(double, double, double, double)>& write) {
  Random random(1);
  std::vector<RawBox> boxes;
  for (int i = 0; i < 200; ++i) {
    const double width = 20 + 150 * random.uniform(), height = 20 + 150 * random.uniform();
    const double x = (640 - width) * random.uniform(), y = (320 - height) * random.uniform();
    boxes.push_back({write(x, y, width, height), 640, 320});
  }
  return boxes;
}

}  // namespace

TEST_CASE("check: nothing is wrong with a good data set") {
  Coco coco;
  const DatasetCheck check = coco.check();
  for (const Problem& fault : check.faults) FAIL_CHECK(text_of(fault.kind).heading << ": " << fault.text);
  CHECK(check.can_be_trained());
  CHECK(check.data.format == DatasetFormat::coco);
  REQUIRE(check.data.splits.size() == 2);
  CHECK(check.data.splits[0].name == "train");
  CHECK(check.data.splits[0].dataset.images.size() == 12);
  CHECK(check.data.class_names == std::vector<std::string>{"cat", "dog"});
  CHECK(check.data.category_ids == std::vector<int>{3, 7});
  CHECK(check.fit.boxes == 32);
  CHECK_THROWS_WITH(check_dataset("/nowhere"), Contains("/nowhere is no folder"));
  const TemporaryFolder empty;
  CHECK_THROWS_WITH(check_dataset(empty.path()), Contains("is not a data set"));
}

TEST_CASE("check: every entry that cannot be read is found, not only the first") {
  Coco coco;
  coco.train["annotations"][0]["category_id"] = 4;
  coco.train["annotations"][3]["bbox"] = {1, 2, 3};
  coco.train["annotations"][5].erase("image_id");
  coco.val["images"][1]["width"] = "wide";
  const DatasetCheck check = coco.check();
  CHECK_FALSE(check.can_be_trained());
  const auto malformed = texts(check, ProblemKind::malformed);
  REQUIRE(malformed.size() == 3);
  CHECK_THAT(malformed[0], Contains("instances_train.json: annotations[3].bbox is [1,2,3]"));
  CHECK_THAT(malformed[1], Contains("annotations[5] has no field \"image_id\""));
  CHECK_THAT(malformed[2], Contains("instances_val.json: images[1].width is \"wide\""));
  const auto classes = texts(check, ProblemKind::unknown_class);
  REQUIRE(classes.size() == 1);
  CHECK_THAT(classes[0], Contains("annotations[0].category_id is 4"));
  CHECK(check.data.splits[0].dataset.images[0].annotations.size() == 1);
}

TEST_CASE("check: a file that is not JSON is a fault, and the other split is checked") {
  Coco coco;
  coco.check();
  write_file_atomically(coco.folder() + "/annotations/instances_val.json", "{");
  const DatasetCheck check = check_dataset(coco.folder());
  const auto malformed = texts(check, ProblemKind::malformed);
  REQUIRE(malformed.size() == 1);
  CHECK_THAT(malformed[0], Contains("instances_val.json is not valid JSON"));
  CHECK(check.data.splits.size() == 1);
}

TEST_CASE("check: images that are broken, cut short, wrongly named, turned, of another size") {
  Coco coco;
  const std::string png = read_file(coco.image_file(2));
  write_file_atomically(coco.image_file(0), "no image");
  write_file_atomically(coco.image_file(1), png.substr(0, png.size() / 2));
  write_file_atomically(coco.image_file(3), encode_jpeg(noise(50)));
  coco.train["images"][4]["width"] = 64;
  coco.train["images"][4]["height"] = 96;
  std::string turned = encode_jpeg(noise(51, 64, 96));
  // SOI, then APP1 with an EXIF block of one entry: orientation 6, a short.
  const std::string exif(
      "\xFF\xE1\x00\x22"
      "Exif\0\0MM\0\x2A\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0",
      36);
  turned.insert(2, exif);
  coco.train["images"][5]["file_name"] = "turned.jpg";
  write_file_atomically(coco.folder() + "/images/turned.jpg", turned);
  coco.train["images"][6]["file_name"] = "stored.jpg";
  turned.insert(turned.size() - 2, "x");  // not the same bytes
  write_file_atomically(coco.folder() + "/images/stored.jpg", turned);
  coco.train["images"][6]["width"] = 64;
  coco.train["images"][6]["height"] = 96;
  coco.train["images"].erase(7);
  const DatasetCheck check = coco.check();
  const auto broken = texts(check, ProblemKind::broken_image);
  REQUIRE(broken.size() == 2);
  CHECK_THAT(broken[0], Contains("images/0.png is no image"));
  CHECK_THAT(broken[1], Contains("images/1.png is cut short"));
  CHECK_FALSE(check.can_be_trained());
  const auto endings = texts(check, ProblemKind::wrong_ending);
  REQUIRE(endings.size() == 1);
  CHECK_THAT(endings[0], Contains("images/3.png is a JPEG"));
  const auto sizes = texts(check, ProblemKind::image_size);
  REQUIRE(sizes.size() == 2);
  CHECK_THAT(sizes[0],
             Contains("images/4.png has 96 x 64 pixels, its annotation says 64 x 96: its boxes are taken"));
  CHECK_THAT(
      sizes[1],
      Contains("stored.jpg has 96 x 64 pixels, its annotation says 64 x 96: its boxes are of the stored "
               "image, and are turned with it"));
  const auto exif_turned = texts(check, ProblemKind::turned_image);
  REQUIRE(exif_turned.size() == 2);
  CHECK_THAT(exif_turned[0], Contains("turned.jpg has the EXIF orientation 6"));
  CHECK(check.count(ProblemKind::missing_image) == 2);  // the boxes of the removed entry
}

TEST_CASE("check: images that occur twice, in one split and in two, and those that look alike") {
  Coco coco;
  write_file_atomically(coco.image_file(1), read_file(coco.image_file(0)));
  write_file_atomically(coco.image_file(12), read_file(coco.image_file(2)));
  Image brighter = noise(4);
  for (uint8_t& value : brighter.pixels) value = uint8_t(40 + value * 3 / 4);
  write_image(coco.image_file(13), brighter);
  coco.val["images"][2]["file_name"] = "5.png";
  const DatasetCheck check = coco.check();
  CHECK(check.can_be_trained());
  const auto twice = texts(check, ProblemKind::duplicate_image);
  REQUIRE(twice.size() == 1);
  CHECK_THAT(twice[0],
             Contains("images/1.png (train) has the same bytes as ") && Contains("images/0.png (train)"));
  const auto leaked = texts(check, ProblemKind::leaked_image);
  REQUIRE(leaked.size() == 2);
  CHECK_THAT(leaked[0] + leaked[1], Contains("images/12.png (val) has the same bytes as ") &&
                                        Contains("images/2.png (train)") &&
                                        Contains("images/5.png is in train and in val"));
  const auto similar = texts(check, ProblemKind::similar_image);
  REQUIRE(similar.size() == 1);
  CHECK_THAT(similar[0],
             Contains("images/3.png (train) and ") && Contains("images/13.png (val) correlate by 1.000"));
}

TEST_CASE("check: boxes twice, reversed, without area, outside") {
  Coco coco;
  auto& annotations = coco.train["annotations"];
  annotations.push_back({{"id", 100}, {"image_id", 2}, {"category_id", 7}, {"bbox", {4, 8, 24, 30}}});
  annotations[0]["bbox"] = {50, 20, -10, 5};
  annotations[2]["bbox"] = {50, 20, 10, 0};
  annotations[8]["bbox"] = {90, 20, 30, 20};
  const DatasetCheck check = coco.check();
  CHECK(check.can_be_trained());
  const auto duplicates = texts(check, ProblemKind::duplicate_box);
  REQUIRE(duplicates.size() == 1);
  CHECK_THAT(duplicates[0], Contains("images/2.png: the boxes cat 4 7 24 30 and dog 4 8 24 30") &&
                                Contains("overlap with IoU 0.935"));
  CHECK_THAT(texts(check, ProblemKind::reversed_box).at(0),
             Contains("annotations[0].bbox is [50, 20, -10, 5]"));
  CHECK_THAT(texts(check, ProblemKind::empty_box).at(0), Contains("annotations[2].bbox is [50, 20, 10, 0]"));
  CHECK_THAT(texts(check, ProblemKind::outside_box).at(0),
             Contains("annotations[8].bbox is [90, 20, 30, 20]"));
}

TEST_CASE(
    "check: classes that no split has, that one lacks, that training does not have, that are one class "
    "twice") {
  Coco coco;
  for (auto* part : {&coco.train, &coco.val}) (*part)["categories"].push_back({{"id", 9}, {"name", "cow"}});
  for (auto& annotation : coco.val["annotations"]) annotation["category_id"] = 3;
  auto check = coco.check();
  auto absent = only(check, ProblemKind::absent_class);
  REQUIRE(absent.size() == 2);
  CHECK(absent[0] == "val has no box of class 1 (\"dog\"), train has 12");
  CHECK(absent[1] == "no split has a box of class 2 (\"cow\"): it is never learned");
  CHECK(check.can_be_trained());

  Coco other;
  other.val["categories"] = {{{"id", 3}, {"name", "cat"}}, {{"id", 7}, {"name", "Dog"}}};
  check = other.check();
  CHECK_FALSE(check.can_be_trained());
  CHECK_THAT(
      texts(check, ProblemKind::unknown_class).at(0),
      Contains(
          "instances_val.json has 4 boxes of \"Dog\", which is not among the classes of train: cat, dog"));
  CHECK(texts(check, ProblemKind::similar_class) == std::vector<std::string>{"\"dog\" and \"Dog\""});
}

TEST_CASE("check: splits that are missing or without an object, images without an object") {
  Coco coco;
  coco.train["annotations"] = nlohmann::json::array();
  auto check = coco.check();
  CHECK_FALSE(check.can_be_trained());
  CHECK_THAT(texts(check, ProblemKind::no_object).at(0), Contains("none of the 12 images has a box"));
  CHECK(check.count(ProblemKind::empty_image) == 12);

  Coco other;
  other.check();
  std::filesystem::rename(other.folder() + "/annotations/instances_val.json",
                          other.folder() + "/annotations/instances_holdout.json");
  check = check_dataset(other.folder());
  CHECK(check.can_be_trained());
  const auto missing = only(check, ProblemKind::missing_split);
  REQUIRE(missing.size() == 1);
  CHECK_THAT(missing[0], Contains("has no split \"val\": choose one for `fovea train` with `val_split`"));
  CHECK(check_dataset(other.folder(), {.splits = {"train"}}).faults.empty());
  CHECK_THAT(texts(check_dataset(other.folder(), {.splits = {"test"}}), ProblemKind::malformed).at(0),
             Contains("has no split \"test\": it has holdout, train"));
}

TEST_CASE("check: boxes in another order or unit are detected from only the boxes") {
  using Numbers = std::array<double, 4>;
  const auto found = [](DatasetFormat format, const std::vector<RawBox>& boxes) {
    const auto faults = check_box_order(format, boxes);
    REQUIRE(faults.size() <= 1);
    return faults.empty() ? "" : faults[0].text;
  };
  const auto corner = [](double x, double y, double w, double h) { return Numbers{x, y, w, h}; };
  const auto centre = [](double x, double y, double w, double h) {
    return Numbers{x + w / 2, y + h / 2, w, h};
  };
  const auto edges = [](double x, double y, double w, double h) { return Numbers{x, y, x + w, y + h}; };
  const auto exchanged = [](double x, double y, double w, double h) { return Numbers{y, x, y + h, x + w}; };
  const auto share = [](Numbers n) { return Numbers{n[0] / 640, n[1] / 320, n[2] / 640, n[3] / 320}; };
  const auto shares = [&](auto write) {
    return random_boxes([=](double x, double y, double w, double h) { return share(write(x, y, w, h)); });
  };
  CHECK(found(DatasetFormat::coco, random_boxes(corner)).empty());
  CHECK(found(DatasetFormat::voc, random_boxes(edges)).empty());
  CHECK(found(DatasetFormat::yolo, shares(centre)).empty());
  CHECK_THAT(found(DatasetFormat::coco, random_boxes(edges)),
             Contains("read as xmin, ymin, xmax, ymax in pixels it would be 0"));
  CHECK_THAT(found(DatasetFormat::coco, random_boxes(centre)),
             Contains("read as centre x, centre y, width, height in pixels"));
  CHECK_THAT(found(DatasetFormat::coco, shares(corner)), Contains("all 200 boxes have numbers from 0 to 1"));
  CHECK_THAT(found(DatasetFormat::voc, random_boxes(corner)),
             Contains("read as left, top, width, height in pixels"));
  CHECK_THAT(found(DatasetFormat::voc, random_boxes(exchanged)),
             Contains("read as ymin, xmin, ymax, xmax in pixels"));
  CHECK_THAT(found(DatasetFormat::yolo, shares(corner)),
             Contains("read as left, top, width, height in shares"));
  CHECK_THAT(found(DatasetFormat::yolo, shares(edges)), Contains("read as xmin, ymin, xmax, ymax in shares"));
  CHECK_THAT(found(DatasetFormat::yolo, random_boxes(centre)),
             Contains("of 200 boxes") && Contains("read as centre x, centre y, width, height in pixels"));
}

TEST_CASE("check: a class that nearly all images have, and one lacks or has few of") {
  std::vector<LabelledImage> images(30);
  for (size_t i = 0; i < images.size(); ++i) {
    images[i].file = fmt::format("{}.jpg", i);
    images[i].annotations.resize(10);
    images[i].annotations[9].label = 1;
  }
  images[3].annotations = {Annotation{.label = 1}};
  images[7].annotations.erase(images[7].annotations.begin(), images[7].annotations.begin() + 6);
  images[8].annotations.erase(images[8].annotations.begin(), images[8].annotations.begin() + 5);
  std::vector<const LabelledImage*> pointers;
  for (const LabelledImage& image : images) pointers.push_back(&image);
  const auto faults = find_unlabelled(pointers, {"red", "white"});
  REQUIRE(faults.size() == 2);
  CHECK(faults[0].text == "3.jpg: no red, where 96 % of the images have some, 9 in the median");
  CHECK(faults[1].text == "7.jpg: 3 red, where 96 % of the images have some, 9 in the median");
  pointers.resize(19);
  CHECK(find_unlabelled(pointers, {"red", "white"}).empty());
}

TEST_CASE("the best anchor of a box is that of all anchors") {
  const AnchorOptions options{.anchor_scale = 1.5};
  const int height = 100, width = 77;  // strides that are not whole numbers
  const AnchorCover cover(height, width, options);
  const std::vector<Box> anchors = generate_anchors(height, width, options);
  Random random(3);
  for (int i = 0; i < 200; ++i) {
    const double w = 1 + 60 * random.uniform(), h = 1 + 60 * random.uniform();
    const InputBox box{width * random.uniform() - 5, height * random.uniform() - 5, w, h};
    double best = 0;
    for (const Box& a : anchors) {
      const double common =
          std::max(0.0, std::min(box.x + w, double(a.xmax)) - std::max(box.x, double(a.xmin))) *
          std::max(0.0, std::min(box.y + h, double(a.ymax)) - std::max(box.y, double(a.ymin)));
      best = std::max(best, common / (w * h + double(a.width()) * a.height() - common));
    }
    CHECK(cover.best_iou(box) == Approx(best).margin(1e-5));
  }
  CHECK(cover.smallest_side() == Approx(1.5 * std::sqrt(100 / 13. * 77 / 10. * 0.98)));
}

TEST_CASE("check: boxes that no anchor fits, and the suggested input for them") {
  Coco coco;
  for (auto& annotation : coco.train["annotations"]) annotation["bbox"] = {20, 20, 4, 4};
  for (auto& annotation : coco.val["annotations"]) annotation["bbox"] = {20, 20, 4, 4};
  coco.train["annotations"].erase(1);
  const DatasetCheck check = coco.check({.longer_side = 96});
  CHECK(check.fit.height == 64);
  CHECK(check.fit.width == 96);
  CHECK(check.fit.anchor_scale == 1);
  CHECK(check.fit.boxes == 31);
  CHECK(check.fit.below_third == 31);  // 4 x 4 in an anchor of 8 x 8: IoU 1/4
  CHECK_THAT(
      texts(check, ProblemKind::small_box).at(0),
      Contains(
          "images/0.png: cat 20 20 4 4 (left, top, width, height) is 4.0 x 4.0 pixels of a 64x96 input, the "
          "best anchor's IoU 0.25"));
  CHECK(check.suggestion.covered == 1);
  CHECK(check.suggestion.width > 96);
  const DatasetCheck again = coco.check({.image_size = {check.suggestion.height, check.suggestion.width},
                                         .anchor_scale = check.suggestion.anchor_scale});
  CHECK(again.fit.below_half == 0);
  CHECK(again.count(ProblemKind::small_box) == 0);
}

TEST_CASE("check: the known faults of the blood cells are all found") {
  const auto folder = test_data("bccd");
  if (!folder) {
    WARN("bccd is missing in the test data: only the data sets made here were tested");
    return;
  }
  const DatasetCheck check = check_dataset(*folder, {.longer_side = 256});
  CHECK(check.can_be_trained());
  CHECK(check.joined == std::vector<std::string>{"trainval"});
  CHECK(check.fit.boxes == 4886);
  CHECK(check.fit.height == 192);
  const auto holds = [&](ProblemKind kind, const std::vector<std::string>& stems) {
    const auto found = texts(check, kind);
    CHECK(found.size() == stems.size());
    for (const std::string& stem : stems) {
      CAPTURE(stem);
      CHECK(std::any_of(found.begin(), found.end(),
                        [&](const std::string& text) { return text.find(stem) != text.npos; }));
    }
  };
  holds(ProblemKind::empty_box, {"00338.xml", "00343.xml"});
  holds(ProblemKind::duplicate_box, {"00020", "00100", "00104", "00251", "00284", "00331", "00403"});
  holds(ProblemKind::similar_image, {"00037"});
  CHECK_THAT(texts(check, ProblemKind::similar_image).at(0),
             Contains("00037.jpg (val)") && Contains("00038.jpg (train)"));
  holds(ProblemKind::unlabelled_class,
        {"00134.jpg: no RBC", "00147.jpg: no RBC", "00150.jpg: no RBC", "00152.jpg: no RBC",
         "00224.jpg: no RBC", "00249.jpg: no RBC", "00250.jpg: no RBC", "00258.jpg: no RBC",
         "00267.jpg: no RBC", "00268.jpg: no RBC", "00303.jpg: no RBC", "00322.jpg: no RBC",
         "00327.jpg: no RBC", "00330.jpg: no RBC", "00350.jpg: no RBC", "00072.jpg: 3 RBC",
         "00157.jpg: 3 RBC",  "00235.jpg: 3 RBC",  "00270.jpg: 3 RBC",  "00148.jpg: 4 RBC",
         "00133.jpg: no WBC", "00135.jpg: no WBC", "00171.jpg: no WBC", "00178.jpg: no WBC",
         "00228.jpg: no WBC", "00327.jpg: no WBC"});
  CHECK(check.count(ProblemKind::ignored_field) == 364);
  for (const ProblemKind kind :
       {ProblemKind::leaked_image, ProblemKind::duplicate_image, ProblemKind::image_size,
        ProblemKind::outside_box, ProblemKind::broken_image, ProblemKind::box_order})
    CHECK(check.count(kind) == 0);
}
