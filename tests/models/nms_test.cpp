#include "models/nms.h"

#include <catch2/catch.hpp>
#include <cmath>

#include "tests/support/box_goldens.h"

using namespace fovea;
using Catch::Contains;

namespace {

struct Input {
  std::vector<Box> boxes;
  std::vector<float> scores;
  std::vector<int32_t> labels;
};

// The clusters of jittered boxes of make_box_goldens.py.
Input clusters(uint32_t seed, size_t count, int labels) {
  Uniform uniform(seed);
  Input input;
  for (size_t i = 0; i < count; ++i) {
    const double y = 40 * uniform.below(6), x = 40 * uniform.below(6);
    double jitter[4];
    for (double& j : jitter) j = 8 * uniform();
    input.boxes.push_back({float(y + jitter[1]), float(x + jitter[0]), float(y + 20 + jitter[3] * 3),
                           float(x + 20 + jitter[2] * 3)});
  }
  input.scores = uniform.array(count, 0, 1);
  for (size_t i = 0; i < count; ++i) input.labels.push_back(uniform.below(labels));
  return input;
}

// Boxes on whole numbers and scores of two digits: many exact ties and IoUs of exactly 1 / 2.
Input lattice(uint32_t seed, size_t count, int labels) {
  Uniform uniform(seed);
  Input input;
  for (size_t i = 0; i < count; ++i) {
    const int y = 2 * uniform.below(10), x = 2 * uniform.below(10), h = 2 * uniform.below(6),
              w = 2 * uniform.below(6);
    input.boxes.push_back({float(y), float(x), float(y + h), float(x + w)});
    input.scores.push_back(float(uniform.below(100)) / 100);
    input.labels.push_back(uniform.below(labels));
  }
  return input;
}

double exact_iou(const Box& a, const Box& b) {
  const double height = std::min(double(a.ymax), double(b.ymax)) - std::max(double(a.ymin), double(b.ymin));
  const double width = std::min(double(a.xmax), double(b.xmax)) - std::max(double(a.xmin), double(b.xmin));
  const double both = std::max(height, 0.0) * std::max(width, 0.0);
  return both > 0 ? both / (double(a.height()) * a.width() + double(b.height()) * b.width() - both) : 0;
}

// The definition of NMS: repeatedly keep the best remaining box and remove the others of its label that
// overlap it.
std::vector<int> brute_force(const Input& input, double threshold) {
  std::vector<int> kept;
  std::vector<bool> gone(input.boxes.size());
  while (true) {
    int best = -1;
    for (size_t i = 0; i < gone.size(); ++i)
      if (!gone[i] && (best < 0 || input.scores[i] > input.scores[size_t(best)])) best = int(i);
    if (best < 0) return kept;
    kept.push_back(best);
    const size_t b = size_t(best);
    for (size_t i = 0; i < gone.size(); ++i)
      if (i == b ||
          (input.labels[i] == input.labels[b] && exact_iou(input.boxes[i], input.boxes[b]) > threshold))
        gone[i] = true;
  }
}

// The definition of soft NMS: a box's score is its own times the decay by every box kept so far.
std::vector<std::pair<int, double>> brute_force_soft(const Input& input, double sigma, double threshold) {
  std::vector<std::pair<int, double>> kept;
  std::vector<bool> gone(input.boxes.size());
  while (true) {
    int best = -1;
    double best_score = threshold;
    for (size_t i = 0; i < gone.size(); ++i) {
      double score = input.scores[i];
      for (const auto& [k, ignore] : kept)
        if (input.labels[size_t(k)] == input.labels[i])
          score *= std::exp(-std::pow(exact_iou(input.boxes[size_t(k)], input.boxes[i]), 2) / sigma);
      if (!gone[i] && score > best_score) best = int(i), best_score = score;
    }
    if (best < 0) return kept;
    kept.push_back({best, best_score});
    gone[size_t(best)] = true;
  }
}

std::vector<int> indices(const std::vector<KeptBox>& kept) {
  std::vector<int> result;
  for (const KeptBox& k : kept) result.push_back(k.index);
  return result;
}

}  // namespace

TEST_CASE("intersection over union") {
  CHECK(iou({0, 0, 10, 10}, {0, 0, 10, 20}) == 0.5f);
  CHECK(iou({0, 0, 2, 2}, {1, 1, 3, 3}) == Approx(1 / 7.0));
  CHECK(iou({0.1f, 0.3f, 33.7f, 91.3f}, {0.1f, 0.3f, 33.7f, 91.3f}) == 1);
  CHECK(iou({0, 0, 1, 1}, {0, 1, 1, 2}) == 0);    // edges touch
  CHECK(iou({3, 3, 3, 3}, {3, 3, 3, 3}) == 0);    // no area
  CHECK(iou({5, 5, 1, 1}, {0, 0, 10, 10}) == 0);  // reversed
  CHECK(iou({0, 0, 1e-30f, 1e-30f}, {0, 0, 1, 1}) == 0);
}

TEST_CASE("NMS keeps what torchvision keeps, soft NMS what effdet does") {
  for (const auto& row : read_golden("box_nms")) {
    const Input input = clusters(row["seed"], row["count"], row["labels"]);
    const auto hard = nms(input.boxes, input.scores, input.labels, {.max_detections = 1000});
    CHECK(indices(hard) == row["hard"].get<std::vector<int>>());
    for (const KeptBox& kept : hard) CHECK(kept.score == input.scores[size_t(kept.index)]);

    const auto soft = soft_nms(input.boxes, input.scores, input.labels);
    CHECK(indices(soft) == row["soft"].get<std::vector<int>>());
    REQUIRE(soft.size() == row["soft_scores"].size());
    for (size_t i = 0; i < soft.size();
         ++i)  // effdet shifts the labels apart, which loses digits of the boxes
      CHECK(soft[i].score == Approx(row["soft_scores"][i].get<double>()).epsilon(1e-4));
  }
}

TEST_CASE("NMS is its definition, ties and an IoU on the threshold included") {
  for (uint32_t seed = 0; seed < 40; ++seed) {
    const Input input = lattice(seed, 1 + seed * 5, 1 + int(seed % 4));
    const auto expected = brute_force(input, 0.5);
    CHECK(indices(nms(input.boxes, input.scores, input.labels,
                      {.score_threshold = -1, .max_detections = 1000})) == expected);
    const auto first =
        nms(input.boxes, input.scores, input.labels, {.score_threshold = -1, .max_detections = 7});
    CHECK(indices(first) ==
          std::vector<int>(expected.begin(), expected.begin() + std::min<long>(7, expected.size())));
  }
}

TEST_CASE("soft NMS is its definition") {
  for (uint32_t seed = 50; seed < 60; ++seed) {
    const Input input = clusters(seed, 80, 1 + int(seed % 3));
    const auto expected = brute_force_soft(input, 0.5, 0.001);
    const auto kept = soft_nms(input.boxes, input.scores, input.labels, {.max_detections = 1000});
    REQUIRE(kept.size() == expected.size());
    for (size_t i = 0; i < kept.size(); ++i) {
      CHECK(kept[i].index == expected[i].first);
      CHECK(kept[i].score == Approx(expected[i].second).epsilon(1e-5));
    }
  }
}

TEST_CASE("suppression by hand") {
  const std::vector<Box> boxes{{0, 0, 10, 10}, {0, 0, 10, 20}, {0, 0, 10, 10}, {50, 50, 60, 60}};
  const std::vector<float> scores{0.8f, 0.9f, 0.8f, 0.001f};
  const std::vector<int32_t> one{0, 0, 0, 0}, two{0, 1, 0, 0};
  // IoU 0.5 is not above 0.5; of the two equal boxes the first stays.
  CHECK(indices(nms(boxes, scores, one)) == std::vector<int>{1, 0, 3});
  CHECK(indices(nms(boxes, scores, one, {.iou_threshold = 0.49f})) == std::vector<int>{1, 3});
  CHECK(indices(nms(boxes, scores, one, {.score_threshold = 0.001f})) == std::vector<int>{1, 0});
  CHECK(indices(nms(boxes, scores, two, {.iou_threshold = 0.49f})) == std::vector<int>{1, 0, 3});

  // 0.8 exp(-0.25 / 0.5) = 0.485, and the copy of box 0 once more exp(-1 / 0.5); 0.001 is not above the
  // threshold.
  const auto soft = soft_nms(boxes, scores, one);
  REQUIRE(indices(soft) == std::vector<int>{1, 0, 2});
  CHECK(soft[1].score == Approx(0.8 * std::exp(-0.5)));
  CHECK(soft[2].score == Approx(0.8 * std::exp(-2.5)));
  CHECK(nms({}, {}, {}).empty());
  CHECK(soft_nms({}, {}, {}).empty());
}

TEST_CASE("NMS refuses what it cannot order") {
  const std::vector<Box> boxes(2);
  const std::vector<int32_t> labels(2);
  CHECK_THROWS_WITH(nms(boxes, std::vector<float>{1, NAN}, labels), Contains("score of box 1 is NaN"));
  CHECK_THROWS_WITH(soft_nms(boxes, std::vector<float>{1}, labels),
                    Contains("2 boxes, 1 scores and 2 labels"));
  CHECK_THROWS_WITH(nms(boxes, std::vector<float>{1, 1}, labels, {.max_detections = 0}),
                    Contains("max_detections is 0"));
  CHECK_THROWS_WITH(nms(boxes, std::vector<float>{1, 1}, labels, {.iou_threshold = 50}),
                    Contains("iou_threshold is 50"));
  CHECK_THROWS_WITH(soft_nms(boxes, std::vector<float>{1, 1}, labels, {.sigma = 0}), Contains("sigma is 0"));
}
