#include "train/matching.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <map>

#include "models/anchors.h"
#include "models/box_coder.h"
#include "tests/support/box_goldens.h"

using namespace fovea;
using Catch::Contains;

namespace {

struct Targets {
  std::vector<int32_t> classes;
  std::vector<float> boxes;
  MatchCounts counts;
};

Targets match(const std::vector<Box>& anchors, const MatchTruths& truths, const MatchOptions& options = {}) {
  Targets targets{std::vector<int32_t>(anchors.size(), 99), std::vector<float>(anchors.size() * 4, 99), {}};
  targets.counts = AnchorMatcher(anchors, options).match(truths, targets.classes, targets.boxes);
  return targets;
}

float simple_iou(const Box& a, const Box& b) {
  const float height = std::max(0.0f, std::min(a.ymax, b.ymax) - std::max(a.ymin, b.ymin));
  const float width = std::max(0.0f, std::min(a.xmax, b.xmax) - std::max(a.xmin, b.xmin));
  return height * width / (a.area() + b.area() - height * width);
}

// The two steps over the whole table of IoUs; returns the object of each anchor, or -1.
std::vector<int> brute_force(const std::vector<Box>& anchors, const std::vector<Box>& truths) {
  std::vector<int> object(anchors.size(), -1);
  for (size_t a = 0; a < anchors.size(); ++a) {
    float best = 0;
    for (size_t t = 0; t < truths.size(); ++t)
      if (const float x = simple_iou(anchors[a], truths[t]); x > best) best = x, object[a] = int(t);
    if (best < 0.5f) object[a] = -1;
  }
  std::map<size_t, int> forced;
  for (size_t t = 0; t < truths.size(); ++t) {
    float best = 0;
    size_t where = 0;
    for (size_t a = 0; a < anchors.size(); ++a)
      if (const float x = simple_iou(anchors[a], truths[t]); x > best) best = x, where = a;
    if (best > 0) forced.try_emplace(where, int(t));
  }
  for (const auto& [a, t] : forced) object[a] = t;
  return object;
}

}  // namespace

TEST_CASE("targets are effdet's") {
  for (const auto& row : read_golden("box_matching")) {
    const auto anchors = generate_anchors(row["height"], row["width"], {.anchor_scale = row["scale"]});
    const auto truths = boxes_of(row["truths"]);
    const auto labels = row["labels"].get<std::vector<int32_t>>();
    const Targets targets = match(anchors, {.boxes = truths, .labels = labels});

    std::vector<size_t> positive;
    std::vector<int32_t> classes;
    double sums[4] = {};
    for (size_t i = 0; i < anchors.size(); ++i) {
      if (targets.classes[i] >= 0) {
        positive.push_back(i);
        classes.push_back(targets.classes[i]);
      } else {
        REQUIRE(targets.classes[i] == background_target);
      }
      for (size_t k = 0; k < 4; ++k) sums[k] += targets.boxes[i * 4 + k];
    }
    CAPTURE(row["height"], row["scale"], truths.size());
    CHECK(positive == row["positive"].get<std::vector<size_t>>());
    CHECK(classes == row["classes"].get<std::vector<int32_t>>());
    CHECK(targets.counts.positives == int64_t(positive.size()));
    CHECK(targets.counts.truths == int64_t(truths.size()));
    for (size_t k = 0; k < 4; ++k)
      CHECK(sums[k] == Approx(row["sums"][k].get<double>()).epsilon(1e-6).margin(1e-4));
    const auto codes = row["codes"].get<std::vector<float>>();
    for (size_t i = 0; i < row["few"].size(); ++i)
      for (size_t k = 0; k < 4; ++k) {
        const size_t anchor = positive[row["few"][i].get<size_t>()];
        CHECK(targets.boxes[anchor * 4 + k] == Approx(codes[i * 4 + k]).epsilon(1e-6).margin(2e-6));
      }
  }
}

TEST_CASE("matching is its definition on boxes that tie exactly") {
  Uniform uniform(61);
  for (int round = 0; round < 30; ++round) {
    const auto random_boxes = [&](int count, int room) {
      std::vector<Box> boxes;
      for (int i = 0; i < count; ++i) {
        const int y = uniform.below(room), x = uniform.below(room), h = 1 + uniform.below(12),
                  w = 1 + uniform.below(12);
        boxes.push_back({float(y), float(x), float(y + h), float(x + w)});
      }
      return boxes;
    };
    const auto anchors = random_boxes(1 + 40 * round, 20 + 4 * round), truths = random_boxes(round, 30);
    std::vector<int32_t> labels;
    for (size_t t = 0; t < truths.size(); ++t) labels.push_back(int32_t(t) * 3 + 1);
    const auto expected = brute_force(anchors, truths);
    const Targets targets = match(anchors, {.boxes = truths, .labels = labels});

    int different = 0;
    MatchCounts counts{.truths = int64_t(truths.size()), .anchorless = int64_t(truths.size())};
    for (size_t t = 0; t < truths.size(); ++t) {
      counts.anchorless -= std::find(expected.begin(), expected.end(), int(t)) != expected.end();
      counts.weak += std::none_of(anchors.begin(), anchors.end(),
                                  [&](const Box& a) { return simple_iou(a, truths[t]) >= 0.5f; });
    }
    for (size_t a = 0; a < anchors.size(); ++a) {
      const int t = expected[a];
      counts.positives += t >= 0;
      const BoxCode code = t >= 0 ? encode(anchors[a], truths[size_t(t)]) : BoxCode{};
      const float* target = &targets.boxes[a * 4];
      different += targets.classes[a] != (t >= 0 ? labels[size_t(t)] : background_target);
      different += !(BoxCode{target[0], target[1], target[2], target[3]} == code);
    }
    CAPTURE(round);
    CHECK(different == 0);
    CHECK(targets.counts == counts);
  }
}

TEST_CASE("matching by hand: threshold, forced matches, ties") {
  const std::vector<Box> anchors{
      {0, 0, 10, 10}, {0, 10, 10, 20}, {0, 20, 10, 30}, {0, 20, 10, 30}, {50, 50, 60, 60}};
  // Object 0 is anchor 0; object 1 has IoU 0.5 with anchor 1, just enough; object 2 overlaps anchors 2 and 3
  // a little, and the first of them has to take it; object 3 overlaps nothing.
  const std::vector<Box> truths{{0, 0, 10, 10}, {0, 10, 5, 20}, {0, 20, 2, 22}, {80, 80, 90, 90}};
  const std::vector<int32_t> labels{5, 6, 7, 8};
  Targets targets = match(anchors, {.boxes = truths, .labels = labels});
  CHECK(targets.classes == std::vector<int32_t>{5, 6, 7, -1, -1});
  CHECK(targets.counts == MatchCounts{.positives = 3, .truths = 4, .weak = 2, .anchorless = 1});
  CHECK(targets.boxes[4] == -0.25f);  // object 1 lies a quarter of the anchor's height above its centre
  CHECK(targets.boxes[6] == Approx(std::log(0.5)));

  // Both anchors overlap the object by exactly a half: the first is forced, the second reaches the threshold.
  const std::vector<Box> half{{0, 0, 10, 10}};
  const std::vector<Box> halves{{0, 0, 10, 5}, {0, 5, 10, 10}};
  targets = match(halves, {.boxes = half, .labels = std::vector<int32_t>{4}});
  CHECK(targets.classes == std::vector<int32_t>{4, 4});
  targets = match(halves, {.boxes = half, .labels = std::vector<int32_t>{4}}, {.iou_threshold = 0.51f});
  CHECK(targets.classes == std::vector<int32_t>{4, -1});

  // A forced match overrides a better one: the small object takes anchor 0 from the large one, which has no
  // other.
  const std::vector<Box> nested{{0, 0, 10, 10}, {0, 0, 3, 3}};
  targets = match({{0, 0, 10, 10}}, {.boxes = nested, .labels = std::vector<int32_t>{1, 2}});
  CHECK(targets.classes == std::vector<int32_t>{1});  // both want it: the first object has it
  CHECK(targets.counts.anchorless == 1);
  const std::vector<Box> swapped{nested[1], nested[0]};
  targets = match({{0, 0, 10, 10}}, {.boxes = swapped, .labels = std::vector<int32_t>{2, 1}});
  CHECK(targets.classes == std::vector<int32_t>{2});

  targets = match(anchors, {});
  CHECK(targets.classes == std::vector<int32_t>(5, -1));
  CHECK(targets.boxes == std::vector<float>(20, 0));
  CHECK(targets.counts == MatchCounts{});
}

TEST_CASE("anchors in a crowd are ignored unless they have an object") {
  const std::vector<Box> anchors{{0, 0, 10, 10}, {0, 10, 10, 20}, {0, 20, 10, 30}, {0, 30, 10, 40}};
  const std::vector<Box> truths{{0, 0, 10, 10}}, crowds{{0, 0, 10, 25}};
  const std::vector<int32_t> labels{3};
  const MatchTruths image{.boxes = truths, .labels = labels, .crowds = crowds};
  CHECK(match(anchors, image).classes == std::vector<int32_t>{3, -2, -2, -1});
  CHECK(match(anchors, image, {.crowd_threshold = 0.6f}).classes == std::vector<int32_t>{3, -2, -1, -1});
  CHECK(match(anchors, image).counts == MatchCounts{.positives = 1, .truths = 1});
}

TEST_CASE("boxes too small for the anchors are counted") {
  // Platelets of a 256 pixel image: with the scale of large images hardly any anchor fits them.
  std::vector<Box> truths;
  for (int i = 0; i < 20; ++i) truths.push_back({i * 12.0f, i * 11.0f, i * 12.0f + 12, i * 11.0f + 12});
  const std::vector<int32_t> labels(truths.size(), 0);
  const auto at_scale = [&](double scale) {
    return match(generate_anchors(256, 256, {.anchor_scale = scale}), {.boxes = truths, .labels = labels})
        .counts;
  };
  CHECK(at_scale(4).weak == 20);
  CHECK(at_scale(1.5).weak < 10);
  CHECK(at_scale(1.5).positives > 2 * at_scale(4).positives);
}

TEST_CASE("a batch is its images one by one, on any number of threads") {
  const auto anchors = generate_anchors(128, 96, {.anchor_scale = 1});
  const std::vector<Box> boxes{{0, 0, 30, 30}, {40, 40, 90, 70}, {5, 50, 13, 58}, {60, 0, 64, 90}};
  const std::vector<int32_t> labels{0, 1, 2, 0};
  std::vector<MatchTruths> images;
  for (size_t i = 0; i < 5; ++i)
    images.push_back({.boxes = std::span(boxes).first(i), .labels = std::span(labels).first(i)});
  const AnchorMatcher matcher(anchors);
  std::vector<int32_t> classes(5 * anchors.size());
  std::vector<float> codes(5 * anchors.size() * 4);
  const MatchCounts sum = matcher.match_batch(images, classes, codes);
  MatchCounts expected;
  for (size_t i = 0; i < 5; ++i) {
    const Targets one = match(anchors, images[i]);
    expected += one.counts;
    CHECK(std::equal(one.classes.begin(), one.classes.end(), classes.begin() + long(i * anchors.size())));
    CHECK(std::equal(one.boxes.begin(), one.boxes.end(), codes.begin() + long(i * anchors.size() * 4)));
  }
  CHECK(sum == expected);
  CHECK(sum.truths == 10);
}

TEST_CASE("matching refuses boxes and labels that cannot be learnt") {
  const std::vector<Box> anchors{{0, 0, 10, 10}};
  const auto with = [&](const Box& box, int32_t label) {
    const std::vector<Box> boxes{{0, 0, 1, 1}, box};
    const std::vector<int32_t> labels{0, label};
    return match(anchors, {.boxes = boxes, .labels = labels});
  };
  CHECK_THROWS_WITH(with({2, 3, 2, 9}, 0), Contains("box 1 with ymin 2, xmin 3, ymax 2, xmax 9"));
  CHECK_THROWS_WITH(with({4, 4, 2, 9}, 0), Contains("no positive, finite size"));
  CHECK_THROWS_WITH(with({4, NAN, 9, 9}, 0), Contains("xmin nan"));
  CHECK_THROWS_WITH(with({-INFINITY, 0, 9, 9}, 0), Contains("ymin -inf"));
  CHECK_THROWS_WITH(with({0, 0, 1e30f, 1e30f}, 0), Contains("finite size"));
  CHECK_THROWS_WITH(with({0, 0, 2, 2}, -1), Contains("label of box 1 is -1"));
  const std::vector<Box> box{{0, 0, 1, 1}}, flat{{0, 0, 0, 5}};
  CHECK_THROWS_WITH(match(anchors, {.boxes = box, .labels = {}}), Contains("1 boxes and 0 labels"));
  CHECK_THROWS_WITH(match(anchors, {.boxes = {}, .labels = {}, .crowds = flat}), Contains("crowd region 0"));
  CHECK_THROWS_WITH(AnchorMatcher(flat), Contains("anchor 0 with"));
  CHECK_THROWS_WITH(AnchorMatcher(anchors, {.iou_threshold = 0}), Contains("iou_threshold is 0"));
  CHECK_THROWS_WITH(AnchorMatcher(anchors, {.crowd_threshold = 2}), Contains("crowd_threshold is 2"));
  std::vector<int32_t> classes(1);
  std::vector<float> codes(3);
  CHECK_THROWS_WITH(AnchorMatcher(anchors).match({}, classes, codes),
                    Contains("1 class targets and 3 box targets"));
  CHECK_THROWS_WITH(AnchorMatcher(anchors).match_batch({}, classes, codes),
                    Contains("0 images of 1 anchors"));
}
