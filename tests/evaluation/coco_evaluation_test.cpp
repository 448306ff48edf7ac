#include "train/evaluation/coco_evaluation.h"

#include <catch2/catch.hpp>
#include <cmath>

#include "core/error.h"
#include "core/file.h"
#include "core/parallel.h"
#include "core/random.h"
#include "tests/support/coco_truth.h"
#include "tests/support/test_data.h"
#include "train/data/coco.h"
#include "train/evaluation/results.h"

using namespace fovea;
using Catch::Contains;
using nlohmann::json;

namespace {

// The figures are pycocotools' up to the rounding of sums.
void check_equal(double found, double expected, const std::string& what) {
  INFO(what << ": " << found << ", pycocotools " << expected);
  CHECK(std::abs(found - expected) <= 1e-9);
}

int position(const json& list, const json& value) {
  return int(std::find(list.begin(), list.end(), value) - list.begin());
}

DetectionDataset golden_truth(const json& row) {
  DetectionDataset truth;
  truth.name = row["name"];
  for (const json& id : row["categories"]) {
    truth.category_ids.push_back(id);
    truth.class_names.push_back(id.dump());
  }
  for (const json& id : row["images"]) truth.images.push_back({id.dump() + ".jpg", id, 500, 500, {}});
  for (const json& t : row["truths"])
    truth.images[size_t(position(row["images"], t[0]))].annotations.push_back(
        {t[2], t[3], t[4], t[5], t[6], position(row["categories"], t[1]), t[7] == 1});
  return truth;
}

DatasetDetections golden_detections(const json& row) {
  DatasetDetections detections(row["images"].size());
  for (const json& d : row["detections"])
    detections[size_t(position(row["images"], d[0]))].push_back(
        {d[2], d[3], d[4], d[5], d[6], position(row["categories"], d[1])});
  return detections;
}

void check_class(const ClassFigures& found, const json& expected) {
  check_equal(found.ap, expected[0], "AP");
  check_equal(found.ap50, expected[1], "AP50");
  check_equal(found.ap75, expected[2], "AP75");
  check_equal(found.ar100, expected[3], "AR100");
  if (expected[0] == -1) {
    CHECK(found.precision50.empty());
    return;
  }
  REQUIRE(found.precision50.size() == 101);
  for (size_t i = 0; i <= 10; ++i)
    check_equal(found.precision50[10 * i], expected[4 + i], fmt::format("precision at recall {} / 10", i));
}

// Two images, two classes, and a detection of each object.
struct Small {
  DetectionDataset truth;
  DatasetDetections detections;
  Small() {
    truth.name = "small";
    truth.class_names = {"cell", "platelet"};
    truth.category_ids = {1, 2};
    truth.images = {{"a.jpg", 1, 100, 100, {{0, 0, 40, 40, 1600, 0}, {50, 50, 20, 20, 400, 1}}},
                    {"b.jpg", 2, 100, 100, {}}};
    detections = {{{0, 0, 40, 40, 0.9, 0}, {50, 50, 20, 20, 0.8, 1}}, {}};
  }
};

// As large as COCO's validation set if `images` is 5000.
Small crowded(int images, int classes) {
  Small set;
  Random random(5);
  set.truth.class_names.assign(size_t(classes), "thing");
  set.truth.category_ids.resize(size_t(classes));
  set.truth.images.clear();
  set.detections.clear();
  for (int i = 0; i < images; ++i) {
    LabelledImage& image = set.truth.images.emplace_back(LabelledImage{"", i, 500, 500, {}});
    auto& found = set.detections.emplace_back();
    for (int k = 0; k < 100; ++k) {
      const double x = random.uniform(0, 400), y = random.uniform(0, 400), w = random.uniform(5, 200),
                   h = random.uniform(5, 200);
      const int label = int(random.below(classes));
      found.push_back({x, y, w, h, double(random.below(50)) / 50, label});
      if (random.chance(0.08))
        image.annotations.push_back({x + 2, y - 1, w, h, w * h, label, random.chance(0.02)});
    }
  }
  return set;
}

}  // namespace

TEST_CASE("COCO's figures are pycocotools' on data sets that reach every rule") {
  for (const json& row : read_json(std::string(FOVEA_SOURCE_DIR) + "/tests/golden/coco_evaluation.json")) {
    INFO(row["name"]);
    const DetectionDataset truth = golden_truth(row);
    const CocoFigures figures = evaluate_coco(truth, golden_detections(row));
    for (size_t i = 0; i < 12; ++i)
      check_equal(figures.values()[i], row["figures"][i], CocoFigures::names()[i]);
    REQUIRE(figures.classes.size() == row["classes"].size());
    for (size_t c = 0; c < figures.classes.size(); ++c) {
      INFO("category " << truth.class_names[c]);
      check_class(figures.classes[c], row["classes"][c]);
    }
  }
}

TEST_CASE("the reference numbers of COCO's own example") {
  for (const auto& [folder, file] : {std::pair("official", "instances_val2014_100.json"),
                                     std::pair("nocrowd_boxarea", "sampled_gts_bbox_area.json")}) {
    const auto path = test_data(std::string("eval_coco/") + folder + "/" + file);
    const auto results = test_data("eval_coco/official/instances_val2014_fakebbox100_results.json");
    if (!path || !results) {
      WARN("eval_coco/" << folder << " is missing: set FOVEA_TEST_DATA");
      continue;
    }
    INFO(folder);
    const DetectionDataset truth = coco_truth(*path);
    const CocoFigures figures = evaluate_coco(truth, read_coco_results(*results, truth));
    const json expected = read_json(path->substr(0, path->rfind('/')) + "/expected.json");
    static const std::array<const char*, 12> keys{"AP",  "AP50", "AP75",  "APsmall", "APmedium", "APlarge",
                                                  "AR1", "AR10", "AR100", "ARsmall", "ARmedium", "ARlarge"};
    for (size_t i = 0; i < 12; ++i) check_equal(figures.values()[i], expected["stats"][keys[i]], keys[i]);
    int64_t objects = 0;
    for (size_t c = 0; c < truth.class_names.size(); ++c) {
      INFO(truth.class_names[c]);
      const json& one = expected["per_category"][std::to_string(truth.category_ids[c])];
      REQUIRE(one["name"] == truth.class_names[c]);
      check_equal(figures.classes[c].ap, one["AP"], "AP");
      check_equal(figures.classes[c].ap50, one["AP50"], "AP50");
      check_equal(figures.classes[c].ap75, one["AP75"], "AP75");
      check_equal(figures.classes[c].ar100, one["AR100"], "AR100");
      objects += figures.classes[c].objects;
    }
    CHECK(objects == 830);  // of 839 annotations 9 are crowds
    if (std::string(folder) == "official") {
      const auto published = test_data("eval_coco/official/val2014_fake_eval_res.txt");
      REQUIRE(published);
      std::string table =
          coco_table(figures);  // pycocotools pads the names with one blank more than the old file
      for (size_t at = 0; (at = table.find(" (A", at)) != std::string::npos;) table.erase(at, 1);
      CHECK_THAT(read_file(*published), Contains(table));
    }
  }
}

TEST_CASE("COCO's figures by hand") {
  Small set;
  CocoFigures figures = evaluate_coco(set.truth, set.detections);
  static constexpr std::array<double, 12> expected{1, 1, 1, 1, 1, -1, 1, 1, 1, 1, 1, -1};
  for (size_t i = 0; i < 12; ++i) check_equal(figures.values()[i], expected[i], CocoFigures::names()[i]);
  CHECK(figures.classes[1].objects == 1);
  REQUIRE(figures.classes[1].precision50.size() == 101);
  for (const double precision : figures.classes[1].precision50) CHECK(precision == Approx(1));

  // IoU 0.5 reaches only the first threshold, and a false detection with a better score halves the precision.
  set.detections[0][0].height = 20;
  set.detections[1].push_back({0, 0, 40, 40, 0.95, 0});
  figures = evaluate_coco(set.truth, set.detections);
  CHECK(figures.classes[0].ap == Approx(0.05));
  CHECK(figures.classes[0].ap50 == Approx(0.5));
  CHECK(figures.classes[0].ap75 == 0);
  CHECK(figures.classes[0].ar100 == Approx(0.1));
  CHECK(figures.ap50 == Approx(0.75));
}

TEST_CASE("a truth box without an area counts as an object, as pycocotools counts it") {
  const TemporaryFolder folder;
  write_file_atomically(folder / "truth.json", R"({"images":[{"id":1}],"categories":[{"id":1,"name":"cat"}],
    "annotations":[{"id":1,"image_id":1,"category_id":1,"bbox":[10,10,20,20],"area":400,"iscrowd":0},
                   {"id":2,"image_id":1,"category_id":1,"bbox":[50,50,0,20],"area":0,"iscrowd":0}]})");
  write_file_atomically(folder / "found.json",
                        R"([{"image_id":1,"category_id":1,"bbox":[10,10,20,20],"score":0.9}])");
  const DetectionDataset truth = read_coco(folder / "truth.json", {}, {}, {.require_images = false});
  REQUIRE(truth.warnings.size() == 1);
  CHECK_THAT(truth.warnings[0], Contains("evaluation counts it as an object"));
  const CocoFigures figures = evaluate_coco(truth, read_coco_results(folder / "found.json", truth));
  check_equal(figures.ap, 51.0 / 101, "AP");  // precision 1 up to recall 0.5
  check_equal(figures.ar100, 0.5, "AR100");
}

TEST_CASE("a detection of the network in COCO's form") {
  const ScoredBox box = scored_box({{10.5f, 20.25f, 30, 60}, 0.3f, 4});
  CHECK(box.x == 20.25);
  CHECK(box.y == 10.5);
  CHECK(box.width == 39.75);
  CHECK(box.height == 19.5);
  CHECK(box.score == double(0.3f));
  CHECK(box.label == 4);
}

TEST_CASE("COCO's figures do not depend on the number of threads") {
  const int threads = num_threads();
  for (const Small& set :
       {crowded(60, 7), crowded(1000, 80)}) {  // the latter a fifth of COCO's validation set
    set_num_threads(1);
    const CocoFigures one = evaluate_coco(set.truth, set.detections);
    set_num_threads(3);
    const CocoFigures three = evaluate_coco(set.truth, set.detections);
    set_num_threads(threads);
    CHECK(one.values() == three.values());
    CHECK(one.ap > 0.05);
    for (size_t c = 0; c < one.classes.size(); ++c)
      CHECK(one.classes[c].precision50 == three.classes[c].precision50);
  }
}

TEST_CASE("tables of COCO's figures") {
  Small set;
  set.truth.class_names = {"cell", "platelet", "air"};
  set.truth.category_ids = {1, 2, 3};
  set.detections[0][1].height = 12;
  const CocoFigures figures = evaluate_coco(set.truth, set.detections);
  const std::string table = coco_table(figures);
  CHECK_THAT(table,
             Contains(" Average Precision  (AP) @[ IoU=0.50:0.95 | area=   all | maxDets=100 ] = 0.650\n"
                      " Average Precision  (AP) @[ IoU=0.50      | area=   all | maxDets=100 ] = 1.000\n"));
  CHECK_THAT(table,
             Contains(" Average Recall     (AR) @[ IoU=0.50:0.95 | area=   all | maxDets=  1 ] = 0.650\n"));
  CHECK_THAT(table,
             Contains(" Average Recall     (AR) @[ IoU=0.50:0.95 | area= large | maxDets=100 ] = -1.000\n"));
  CHECK(std::count(table.begin(), table.end(), '\n') == 12);
  CHECK(class_table(figures, set.truth.class_names) ==
        "class     objects     AP   AP50   AP75  AR100\n"
        "cell            1  1.000  1.000  1.000  1.000\n"
        "platelet        1  0.300  1.000  0.000  0.300\n"
        "air             0      -      -      -      -\n");
  CHECK_THROWS_WITH(class_table(figures, {"cell"}), Contains("1 names for 3 classes"));
}

TEST_CASE("more than 100 detections of a class in an image count on request") {
  DetectionDataset truth;
  truth.class_names = {"cell"};
  truth.category_ids = {1};
  truth.images.push_back({"a.jpg", 1, 2000, 20, {}});
  DatasetDetections detections(1);
  for (int i = 0; i < 125; ++i) {
    truth.images[0].annotations.push_back({.x = 10.0 * i, .y = 1, .width = 8, .height = 8, .area = 64});
    detections[0].push_back({10.0 * i, 1, 8, 8, 0.5, 0});
  }
  CHECK(evaluate_coco(truth, detections).ar100 == Approx(0.8));
  CHECK(evaluate_coco(truth, detections, 50).ar100 == Approx(0.8));  // at least COCO's own number
  const CocoFigures all = evaluate_coco(truth, detections, 1000);
  CHECK(all.ar100 == 1);
  CHECK(all.ap == Approx(1));
  CHECK(all.ar10 == Approx(10.0 / 125));
  CHECK_THAT(coco_table(all), Contains("area=   all | maxDets=1000 ] = 1.000") &&
                                  Contains("area=   all | maxDets= 10 ] = 0.080"));
}

TEST_CASE("COCO's evaluation refuses invalid detections") {
  const Small good;
  const auto evaluate = [](const Small& set) { return evaluate_coco(set.truth, set.detections); };
  Small set = good;
  set.detections.pop_back();
  CHECK_THROWS_WITH(evaluate(set), Contains("small has 2 images, but there are 1 lists of detections"));
  set = good;
  set.detections[0][1].score = NAN;
  CHECK_THROWS_WITH(evaluate(set), Contains("detection 1 of image 1 (a.jpg) has score nan"));
  set = good;
  set.detections[0][0].width = INFINITY;
  CHECK_THROWS_WITH(evaluate(set), Contains("detection 0 of image 1 (a.jpg) has width inf"));
  set = good;
  set.detections[0][0].label = 2;
  CHECK_THROWS_WITH(evaluate(set),
                    Contains("detection 0 of image 1 (a.jpg) has label 2, but small has 2 classes"));
  set = good;
  set.truth.images[0].annotations[1].label = -1;
  CHECK_THROWS_WITH(evaluate(set), Contains("annotation 1 of image 1 (a.jpg) has label -1"));
  CHECK(evaluate_coco({}, {}).ap == -1);
}

TEST_CASE("COCO's figures of plain boxes are those of a data set") {
  const std::vector<std::vector<LabelledBox>> truths{
      {{{0, 0, 40, 40}, 0}, {{50, 50, 70, 70}, 1}}, {{{10, 20, 130, 140}, 1}, {{0, 0, 60, 90}, 0, true}}, {}};
  const std::vector<std::vector<Detection>> detections{
      {{{0, 0, 40, 40}, 0.5f, 0}, {{52, 50, 70, 70}, 0.25f, 1}},
      {{{0, 0, 30, 30}, 0.75f, 0}, {{10, 20, 130, 120}, 0.5f, 1}},
      {{{1, 1, 9, 9}, 0.125f, 0}}};
  DetectionDataset truth;
  truth.class_names = {"cell", "platelet"};
  truth.images = {{"a.jpg", 1, 200, 200, {{0, 0, 40, 40, 1600, 0}, {50, 50, 20, 20, 400, 1}}},
                  {"b.jpg", 2, 200, 200, {{20, 10, 120, 120, 14400, 1}, {0, 0, 90, 60, 5400, 0, true}}},
                  {"c.jpg", 3, 200, 200, {}}};
  const CocoFigures expected = evaluate_coco(truth, {{{0, 0, 40, 40, 0.5, 0}, {50, 52, 20, 18, 0.25, 1}},
                                                     {{0, 0, 30, 30, 0.75, 0}, {20, 10, 100, 120, 0.5, 1}},
                                                     {{1, 1, 8, 8, 0.125, 0}}});
  const CocoFigures figures = evaluate_coco(truths, detections, 2);
  CHECK(figures.values() == expected.values());
  CHECK(figures.ap > 0.5);
  CHECK(figures.ap < 1);
  REQUIRE(figures.classes.size() == 2);
  CHECK(figures.classes[0].ap == Approx(1));  // the crowd absorbs its false alarm
  CHECK(figures.classes[0].objects == 1);
  CHECK(figures.classes[1].objects_by_size == std::array<int64_t, 3>{1, 0, 1});

  CHECK_THROWS_WITH(evaluate_coco(truths, {{}}, 2),
                    Contains("the truth has 3 images, but there are 1 lists of detections"));
  CHECK_THROWS_WITH(evaluate_coco(truths, detections, 1),
                    Contains("annotation 1 of image 0 (truths[0]) has label 1, but the truth has 1 classes"));
  CHECK_THROWS_WITH(evaluate_coco(truths, detections, 0), Contains("`classes` is 0"));
  CHECK_THROWS_WITH(evaluate_coco({{{{5, 5, 5, 9}, 0}}}, {{}}, 1),
                    Contains("annotation 0 of image 0 begins at x 5, y 5 and is 4 wide and 0 high"));
}
