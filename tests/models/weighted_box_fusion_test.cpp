#include "models/weighted_box_fusion.h"

#include <array>
#include <catch2/catch.hpp>
#include <cmath>

#include "tests/support/box_goldens.h"

using namespace fovea;
using Catch::Contains;

namespace {

using Source = std::vector<Detection>;

std::vector<Detection> fuse(const std::vector<Source>& sources,
                            const WeightedBoxFusionOptions& options = {}) {
  return weighted_box_fusion(sources, options);
}

Source read_source(const nlohmann::json& row) {
  Source source;
  const auto edges = row["boxes"].get<std::vector<std::array<float, 4>>>();
  for (size_t i = 0; i < edges.size(); ++i)
    source.push_back(
        {{edges[i][0], edges[i][1], edges[i][2], edges[i][3]}, row["scores"][i], row["labels"][i]});
  return source;
}

void check_same(const Source& found, const Source& expected, double tolerance) {
  REQUIRE(found.size() == expected.size());
  for (size_t i = 0; i < found.size(); ++i) {
    CAPTURE(i);
    for (float Box::*edge : {&Box::ymin, &Box::xmin, &Box::ymax, &Box::xmax})
      CHECK(found[i].box.*edge == Approx(expected[i].box.*edge).margin(tolerance));
    CHECK(found[i].score == Approx(expected[i].score).margin(tolerance));
    CHECK(found[i].label == expected[i].label);
  }
}

}  // namespace

TEST_CASE("weighted box fusion equals that of its authors' package") {
  for (const auto& row : read_golden("box_fusion")) {
    std::vector<Source> sources;
    for (const auto& source : row["sources"]) sources.push_back(read_source(source));
    CAPTURE(sources.size());
    check_same(
        fuse(sources, {.iou_threshold = row["iou_threshold"], .score_threshold = row["score_threshold"]}),
        read_source(row), 1e-6);
  }
}

TEST_CASE("a fused box is the mean by scores, its score that of the sources that agree") {
  // Their IoU is 90 / 110. xmin is (0.8 * 0 + 0.4 * 1) / 1.2.
  const Detection seen{{0, 0, 10, 10}, 0.8f, 3}, moved{{0, 1, 10, 11}, 0.4f, 3};
  check_same(fuse({{seen}, {moved}}), {{{0, 1 / 3.0f, 10, 31 / 3.0f}, 0.6f, 3}}, 1e-6);
  check_same(fuse({{seen}, {}}), {{{0, 0, 10, 10}, 0.4f, 3}}, 1e-6);  // half of its score
  check_same(fuse({{seen}, {{moved.box, 0.4f, 4}}}),                  // labels are separate
             {{seen.box, 0.4f, 3}, {moved.box, 0.2f, 4}}, 1e-6);
  check_same(fuse({{seen}, {moved}}, {.iou_threshold = 0.9f}), {{seen.box, 0.4f, 3}, {moved.box, 0.2f, 3}},
             1e-6);
  // Three boxes from two sources: no more than the whole mean score.
  check_same(fuse({{seen, seen}, {moved}}), {{{0, 0.2f, 10, 10.2f}, 2 / 3.0f, 3}}, 1e-6);
}

TEST_CASE("fusion of nothing, of one source and of the same boxes") {
  CHECK(fuse({}).empty());
  CHECK(fuse({{}, {}}).empty());
  const Source apart{{{0, 0, 10, 10}, 0.9f, 0}, {{30, 30, 37, 41}, 0.3f, 1}};
  for (const size_t times : {1, 2, 5}) check_same(fuse(std::vector<Source>(times, apart)), apart, 1e-6);
  const Source together{{{0, 0, 10, 10}, 0.9f, 0}, {{0, 2, 10, 12}, 0.3f, 0}};  // IoU 2/3
  check_same(fuse({together}), {{{0, 0.5f, 10, 10.5f}, 0.6f, 0}}, 1e-6);
}

TEST_CASE("fusion of equal scores and overlaps has one order") {
  const Detection first{{0, 0, 10, 10}, 0.5f, 0}, second{{0, 50, 10, 60}, 0.5f, 0},
      third{{0, 90, 10, 99}, 0.5f, 1};
  check_same(fuse({{second}, {third, first}}),
             {{second.box, 0.25f, 0}, {third.box, 0.25f, 1}, {first.box, 0.25f, 0}}, 1e-7);
  // Between two boxes, with the same IoU of 70 / 130 with both: it joins the one that began first.
  const Detection left{{0, 0, 10, 10}, 0.9f, 0}, right{{0, 6, 10, 16}, 0.9f, 0},
      between{{0, 3, 10, 13}, 0.3f, 0};
  for (const bool swapped : {false, true}) {
    const auto found =
        fuse({{swapped ? right : left}, {swapped ? left : right}, {between}}, {.iou_threshold = 0.5f});
    REQUIRE(found.size() == 2);
    CHECK(found[0].score == Approx(0.6 * 2 / 3));  // the mean of both, from two of three sources
    CHECK(found[0].box.xmin == Approx(swapped ? 5.25 : 0.75));
    CHECK(found[1].box == (swapped ? left : right).box);
  }
}

TEST_CASE("fusion keeps the best, above the threshold, and refuses invalid scores") {
  const Source many{{{0, 0, 9, 9}, 0.2f, 0}, {{0, 20, 9, 29}, 0.9f, 0}, {{0, 40, 9, 49}, 0.5f, 0}};
  const auto best = fuse({many}, {.max_detections = 2});
  check_same(best, {many[1], many[2]}, 1e-6);
  check_same(fuse({many}, {.score_threshold = 0.5f}), {many[1]}, 1e-6);
  CHECK(fuse({{{{0, 0, 9, 9}, 0, 0}}}).empty());  // without a score it has no weight
  CHECK_THROWS_WITH(fuse({many, {many[0], {{0, 0, 9, 9}, NAN, 0}}}),
                    Contains("the score of box 1 of source 1 is NaN"));
  CHECK_THROWS_WITH(fuse({many}, {.iou_threshold = 1.5f}), Contains("iou_threshold is 1.5"));
  CHECK_THROWS_WITH(fuse({many}, {.iou_threshold = NAN}), Contains("iou_threshold is nan"));
  CHECK_THROWS_WITH(fuse({many}, {.score_threshold = -1}), Contains("score_threshold is -1"));
  CHECK_THROWS_WITH(fuse({many}, {.max_detections = 0}), Contains("max_detections is 0"));
}
