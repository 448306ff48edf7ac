#include "train/evaluation/results.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <limits>

#include "core/error.h"
#include "core/file.h"
#include "core/random.h"
#include "tests/support/test_data.h"

using namespace fovea;
using Catch::Contains;

namespace {

DetectionDataset three_images() {
  DetectionDataset truth;
  truth.name = "val";
  truth.class_names = {"cell", "platelet"};
  truth.category_ids = {3, 90};
  truth.images = {
      {"a.jpg", 42, 100, 100, {}}, {"b.jpg", 7, 100, 100, {}}, {"c.jpg", 5000000000, 100, 100, {}}};
  return truth;
}

DatasetDetections read(const std::string& text) {
  TemporaryFolder folder;
  write_file_atomically(folder / "results.json", text);
  return read_coco_results(folder / "results.json", three_images());
}

// The error of reading one entry whose fields are replaced.
std::string error_of(const std::string& from, const std::string& to) {
  std::string text = R"([{"image_id":7,"category_id":3,"bbox":[1,2,3,4],"score":0.5},
                         {"image_id":7,"category_id":3,"bbox":[1.5,2,3,4],"score":0.25}])";
  const size_t place = text.rfind(from);
  REQUIRE(place != std::string::npos);
  try {
    read(text.replace(place, from.size(), to));
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

}  // namespace

TEST_CASE("results are read into the images of the data set") {
  const auto detections =
      read(R"([{"image_id":7,"category_id":90,"bbox":[1.25,2,3,4],"score":0.5,"id":1,"area":12},
    {"score":1,"bbox":[-1,0,0,1e3],"category_id":3,"image_id":5000000000},
    {"image_id":7,"category_id":3,"bbox":[9,8,7,6],"score":0.9}])");
  REQUIRE(detections.size() == 3);
  CHECK(detections[0].empty());
  REQUIRE(detections[1].size() == 2);
  CHECK(detections[1][0].x == 1.25);
  CHECK(detections[1][0].y == 2);
  CHECK(detections[1][0].width == 3);
  CHECK(detections[1][0].height == 4);
  CHECK(detections[1][0].score == 0.5);
  CHECK(detections[1][0].label == 1);
  CHECK(detections[1][1].score == 0.9);
  REQUIRE(detections[2].size() == 1);
  CHECK(detections[2][0].height == 1000);
  CHECK(read("[]") == DatasetDetections(3));
}

TEST_CASE("results are read as they were written, to the last bit") {
  const DetectionDataset truth = three_images();
  Random random(3);
  DatasetDetections detections(3);
  for (int i = 0; i < 300; ++i) {
    const auto number = [&] { return double(random.normal()) * std::pow(10, random.uniform(-12, 12)) / 3; };
    detections[size_t(random.below(3))].push_back(
        {number(), number(), number(), number(), number(), int(random.below(2))});
  }
  detections[0].push_back({1, 1e300, std::numeric_limits<double>::denorm_min(), 0.1 + 0.2, double(0.3f), 1});
  TemporaryFolder folder;
  write_coco_results(folder / "results.json", truth, detections);
  CHECK(read_coco_results(folder / "results.json", truth) == detections);

  write_coco_results(folder / "results.json", truth, {{}, {{1, 2.5, 3, 4, 0.75, 1}}, {}});
  CHECK(read_file(folder / "results.json") ==
        "[\n{\"image_id\":7,\"file_name\":\"b.jpg\",\"category_id\":90,\"bbox\":[1,2.5,3,4],\"score\":0.75}"
        "\n]\n");
  write_coco_results(folder / "results.json", truth, DatasetDetections(3));
  CHECK(read_coco_results(folder / "results.json", truth) == DatasetDetections(3));
}

TEST_CASE("invalid results are not written") {
  TemporaryFolder folder;
  const std::string path = folder / "results.json";
  CHECK_THROWS_WITH(write_coco_results(path, three_images(), {{{0, 0, 1, 1, NAN, 0}}, {}, {}}),
                    Contains("score nan"));
  CHECK_THROWS_WITH(write_coco_results(path, three_images(), {{}}),
                    Contains("val has 3 images, but there are 1 lists"));
  CHECK(!std::filesystem::exists(path));
}

TEST_CASE("ids and numbers in quotes or with a needless point are read") {
  const auto plain = read(R"([{"image_id":7,"category_id":3,"bbox":[1,2,3,4],"score":0.5}])");
  CHECK(read(R"([{"image_id":7.0,"category_id":"3","bbox":["1",2.0,3,4],"score":"0.5"}])") == plain);
}

TEST_CASE("a fault in results is named by file, entry and field") {
  CHECK_THAT(error_of("\"score\":0.25", "\"confidence\":1"), Contains("results.json: entry 1 has no score"));
  CHECK_THAT(error_of("\"image_id\":7,", ""), Contains("entry 1 has no image_id"));
  CHECK_THAT(error_of("\"category_id\":3,", ""), Contains("entry 1 has no category_id"));
  CHECK_THAT(error_of("\"bbox\":[1.5,2,3,4],", ""), Contains("entry 1 has no bbox"));
  CHECK_THAT(error_of("0.25", "\"high\""),
             Contains("entry 1 has \"high\" in its score: it must be a number"));
  CHECK_THAT(error_of("0.25", "null"), Contains("entry 1 has null in its score"));
  CHECK_THAT(error_of("1.5,2", "1.5,true"), Contains("entry 1 has true in its bbox: it must be a number"));
  CHECK_THAT(error_of("[1.5,2,3,4]", "[1.5,2,3]"),
             Contains("entry 1 has bbox [1.5,2,3]: it must be [left, top, width, height]"));
  CHECK_THAT(error_of("[1.5,2,3,4]", "{}"), Contains("entry 1 has bbox {}"));
  CHECK_THAT(error_of("_id\":7", "_id\":\"seven\""),
             Contains("entry 1 has image_id \"seven\": it must be a whole number"));
  CHECK_THAT(error_of("_id\":7", "_id\":7.5"),
             Contains("entry 1 has image_id 7.5: it must be a whole number"));
  CHECK_THAT(error_of("_id\":7", "_id\":8"), Contains("entry 1 has image_id 8, which val does not have"));
  CHECK_THAT(error_of("_id\":3", "_id\":1"), Contains("entry 1 has category_id 1, which val does not have"));
  CHECK_THAT(error_of("0.25}", "0.25}, 3"), Contains("entry 2 is 3: it must be an object"));
  CHECK_THAT(error_of("0.25}", "0.25}, [1,[2]]"), Contains("entry 2 is [1,[2]]: it must be an object"));
  CHECK_THAT(error_of("0.25", "NaN"), Contains("results.json is not JSON: parse error at line 2") &&
                                          Contains("NaN and Infinity are not JSON either"));
  CHECK_THAT(error_of("0.25", "1e999"), Contains("is not JSON") && Contains("1e999"));
  CHECK_THAT(error_of("0.25}]", "0.2"), Contains("is not JSON") && Contains("unexpected end of input"));
}

TEST_CASE("an error names a file that is not a list of detections") {
  CHECK_THROWS_WITH(read(R"({"images":[],"annotations":[]})"),
                    Contains("results.json is not a results file: it must be a list"));
  CHECK_THROWS_WITH(read("3"), Contains("is not a results file"));
  CHECK_THROWS_WITH(read(""), Contains("is not JSON"));
  CHECK_THROWS_WITH(read(std::string(100000, '[') + std::string(100000, ']')),
                    Contains("more than 100 deep"));
  CHECK_THROWS_WITH(read_coco_results("/nowhere/results.json", three_images()),
                    Contains("/nowhere/results.json"));
}
