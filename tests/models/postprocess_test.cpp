#include "models/postprocess.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <numeric>

#include "cuda/runtime/device.h"
#include "models/anchors.h"
#include "models/box_coder.h"
#include "models/nms.h"
#include "ops/shape_ops.h"
#include "tests/support/box_goldens.h"

using namespace fovea;
using Catch::Contains;

namespace {

struct Outputs {
  std::vector<Box> anchors;
  std::vector<float> logits, codes;
  int classes;
};

Outputs random_outputs(uint32_t seed, int size, int classes, double low, double high) {
  Uniform uniform(seed);
  Outputs out{generate_anchors(size, size, {.anchor_scale = 1}), {}, {}, classes};
  out.logits = uniform.array(out.anchors.size() * size_t(classes), low, high);
  out.codes = uniform.array(out.anchors.size() * 4, -0.4, 0.4);
  return out;
}

std::vector<Detection> run(const Outputs& out, const ImageFrame& frame = {},
                           const DetectOptions& options = {}) {
  return detect(out.logits, out.codes, out.anchors, out.classes, frame, options);
}

bool same(const std::vector<Detection>& a, const std::vector<Detection>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const Detection& x, const Detection& y) {
    return x.box == y.box && x.score == y.score && x.label == y.label;
  });
}

}  // namespace

TEST_CASE("detections are effdet's") {
  for (const auto& row : read_golden("box_detect")) {
    const Outputs out = random_outputs(row["seed"], 64, row["classes"], -9, 3);
    const ImageFrame frame{.scale = row["scale"], .height = row["height"], .width = row["width"]};
    const auto detections =
        run(out, frame,
            {.top_k = row["top_k"], .score_threshold = row["soft"] ? 0.001f : 0, .soft_nms = row["soft"]});
    const auto boxes = boxes_of(row["boxes"]);
    REQUIRE(detections.size() == boxes.size());
    CAPTURE(row["seed"]);
    double worst_box = 0, worst_score = 0;
    int other_label = 0;
    for (size_t i = 0; i < boxes.size(); ++i) {
      for (float Box::*edge : {&Box::ymin, &Box::xmin, &Box::ymax, &Box::xmax})
        worst_box = std::max(worst_box, double(std::abs(detections[i].box.*edge - boxes[i].*edge)));
      worst_score = std::max(worst_score, std::abs(detections[i].score - row["scores"][i].get<double>()));
      other_label += detections[i].label != row["labels"][i].get<int>();
    }
    CHECK(worst_box < 1e-4);
    CHECK(worst_score < 1e-5);
    CHECK(other_label == 0);
  }
}

TEST_CASE("top k is the beginning of the full order, whatever is filtered on the way") {
  Outputs out = random_outputs(31, 128, 7, -12, -2);
  for (float& logit : out.logits) logit = std::round(logit * 4) / 4;  // many ties
  std::vector<size_t> order(out.logits.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return out.logits[a] > out.logits[b]; });
  for (const int k : {1, 10, 777, 5000, 1000000}) {
    const float threshold = k == 777 ? 0.01f : 0;
    std::vector<Box> boxes;
    std::vector<float> scores;
    std::vector<int32_t> labels;
    for (size_t i = 0; i < std::min(order.size(), size_t(k)); ++i) {
      const size_t anchor = order[i] / 7;
      const float* c = &out.codes[anchor * 4];
      boxes.push_back(decode(out.anchors[anchor], {c[0], c[1], c[2], c[3]}));
      scores.push_back(1 / (1 + std::exp(-out.logits[order[i]])));
      labels.push_back(int32_t(order[i] % 7));
    }
    std::vector<Detection> expected;
    for (const auto& [index, score] :
         nms(boxes, scores, labels, {.score_threshold = threshold, .max_detections = 300}))
      expected.push_back({boxes[size_t(index)], score, labels[size_t(index)]});
    CHECK(same(run(out, {}, {.top_k = k, .max_detections = 300, .score_threshold = threshold}), expected));
  }
}

TEST_CASE("boxes are mapped back to the original image and clipped to it") {
  // An original of 100 x 50 pixels, doubled into the top left corner of the input.
  const ImageFrame frame{.scale = 2, .height = 100, .width = 50};
  const std::vector<Box> anchors{{-20, 10, 60, 90}, {150, 60, 260, 140}, {20, 110, 60, 180}};
  const std::vector<float> codes(12, 0), logits{2, 1, 3};
  const auto clipped = detect(logits, codes, anchors, 1, frame);
  REQUIRE(clipped.size() == 2);  // the third lies in the padding
  CHECK(clipped[0].box == Box{0, 5, 30, 45});
  CHECK(clipped[0].score == Approx(1 / (1 + std::exp(-2.0))));
  CHECK(clipped[1].box == Box{75, 30, 100, 50});
  const auto whole = detect(logits, codes, anchors, 1, {.scale = 2});
  REQUIRE(whole.size() == 3);
  CHECK(whole[0].box == Box{10, 55, 30, 90});
  CHECK(whole[1].box == Box{-10, 5, 30, 45});
}

TEST_CASE("boxes of a flipped image are flipped back") {
  const std::vector<Box> anchors{{-20, 0, 60, 60}, {150, 60, 260, 140}};
  const std::vector<float> codes(8, 0), logits{2, 1};
  const auto boxes = [&](const Flip& flip) {
    const auto found =
        detect(logits, codes, anchors, 1, {.scale = 2, .height = 100, .width = 50, .flip = flip});
    REQUIRE(found.size() == 2);
    return std::pair(found[0].box, found[1].box);
  };
  CHECK(boxes({}) == std::pair(Box{0, 0, 30, 30}, Box{75, 30, 100, 50}));
  CHECK(boxes({.horizontal = true}) == std::pair(Box{0, 20, 30, 50}, Box{75, 0, 100, 20}));
  CHECK(boxes({.vertical = true}) == std::pair(Box{70, 0, 100, 30}, Box{0, 30, 25, 50}));
  CHECK(boxes({true, true}) == std::pair(Box{70, 20, 100, 50}, Box{0, 0, 25, 20}));
  for (int width = 1; width < 300; ++width) {  // a box over the whole image, of every width
    const auto found =
        detect(std::vector<float>{1}, std::vector<float>(4, 0), std::vector<Box>{{-9, -9, 70, 70}}, 1,
               {64.0 / width, width, width, {.horizontal = true}});
    REQUIRE(found.at(0).box == Box{0, 0, float(width), float(width)});
  }
  CHECK_THROWS_WITH(detect(logits, codes, anchors, 1, {.flip = {.horizontal = true}}),
                    Contains("the image is flipped: give its height and width"));

  // Whatever the letterbox's scale, what reaches the edges of the image still does so when it is flipped
  // back.
  const std::vector<Box> all{{-1000, -1000, 1000, 1000}};
  for (const auto& [height, width] : {std::pair(333, 127), {127, 333}, {1, 999}, {721, 721}, {7, 3}}) {
    CAPTURE(height, width);
    for (const Flip flip : {Flip{}, Flip{true, false}, Flip{false, true}, Flip{true, true}}) {
      const auto found = detect(std::vector<float>{1}, std::vector<float>(4, 0), all, 1,
                                {64.0 / std::max(height, width), height, width, flip});
      REQUIRE(found.size() == 1);
      CHECK(found[0].box == Box{0, 0, float(height), float(width)});
    }
  }
}

TEST_CASE("the score threshold holds exactly at its edge") {
  const std::vector<Box> anchors{{0, 0, 4, 4}, {10, 10, 14, 14}};
  const std::vector<float> codes(8, 0);
  const float logit = -3;
  const float score = 1 / (1 + std::exp(-logit));
  const std::vector<float> logits{logit, std::nextafter(logit, 0.0f) + 1e-6f};
  CHECK(detect(logits, codes, anchors, 1, {}, {.score_threshold = std::nextafter(score, 0.0f)}).size() == 2);
  CHECK(detect(logits, codes, anchors, 1, {}, {.score_threshold = score}).size() == 1);
  CHECK(detect(std::vector<float>{-INFINITY, INFINITY}, codes, anchors, 1).at(0).score == 1);
  CHECK(detect(std::vector<float>{-50, -20}, codes, anchors, 1).empty());
  CHECK(detect({}, {}, {}, 3).empty());
}

TEST_CASE("a batch is its images one by one") {
  std::vector<ImageFrame> frames{
      {}, {.scale = 0.5, .height = 100, .width = 128}, {.scale = 2, .height = 32, .width = 9}};
  Outputs all = random_outputs(41, 64, 3, -6, 1);
  const size_t logits = all.logits.size(), codes = all.codes.size();
  for (uint32_t seed : {42u, 43u}) {
    const Outputs more = random_outputs(seed, 64, 3, -6, 1);
    all.logits.insert(all.logits.end(), more.logits.begin(), more.logits.end());
    all.codes.insert(all.codes.end(), more.codes.begin(), more.codes.end());
  }
  const auto batch = detect_batch(all.logits, all.codes, all.anchors, 3, frames);
  REQUIRE(batch.size() == 3);
  for (size_t i = 0; i < 3; ++i) {
    CHECK(batch[i].size() > 5);
    CHECK(same(batch[i], detect(std::span(all.logits).subspan(i * logits, logits),
                                std::span(all.codes).subspan(i * codes, codes), all.anchors, 3, frames[i])));
  }
  all.logits[2 * logits + 4] = NAN;
  CHECK_THROWS_WITH(detect_batch(all.logits, all.codes, all.anchors, 3, frames),
                    Contains("class 1 at anchor 1 is NaN"));
  all.logits.pop_back();
  CHECK_THROWS_WITH(detect_batch(all.logits, all.codes, all.anchors, 3, frames),
                    Contains("for 3 images of 774 anchors"));
}

TEST_CASE("outputs that are not numbers, or not of this network, are refused") {
  Outputs out = random_outputs(51, 64, 3, -6, 1);
  const auto with = [&](auto change) {
    Outputs changed = out;
    changed.classes = 3;
    change(changed);
    return changed;
  };
  for (const float threshold : {0.0f, 0.5f})
    CHECK_THROWS_WITH(run(with([](Outputs& o) { o.logits[302] = NAN; }), {}, {.score_threshold = threshold}),
                      Contains("logit of class 2 at anchor 100 is NaN"));
  CHECK_THROWS_WITH(run(with([](Outputs& o) { o.codes[4 * 7 + 2] = NAN; })),
                    Contains("box code 2 of anchor 7 is nan"));
  CHECK_THROWS_WITH(run(with([](Outputs& o) { o.codes[4 * 7] = INFINITY; })),
                    Contains("box code 0 of anchor 7 is inf"));
  CHECK_THROWS_WITH(run(with([](Outputs& o) { o.classes = 4; })),
                    Contains("2322 class logits for 774 anchors and 4"));
  CHECK_THROWS_WITH(run(with([](Outputs& o) { o.codes.pop_back(); })), Contains("3095 box codes"));
  CHECK_THROWS_WITH(run(with([](Outputs& o) { o.classes = 0; })), Contains("num_classes is 0"));
  CHECK_THROWS_WITH(run(out, {.scale = 0}), Contains("image scale is 0"));
  CHECK_THROWS_WITH(run(out, {.height = 5}), Contains("5 x 0 pixels"));
  CHECK_THROWS_WITH(run(out, {}, {.top_k = 0}), Contains("top_k is 0"));
  CHECK_THROWS_WITH(run(out, {}, {.max_detections = 0}), Contains("max_detections is 0"));
  CHECK_THROWS_WITH(run(out, {}, {.score_threshold = 1}), Contains("score_threshold is 1"));
}

namespace {

// A batch of images with the same anchors.
struct Batch {
  std::vector<Box> anchors;
  std::vector<float> logits, codes;
  int64_t classes;
  std::vector<ImageFrame> frames;
};

Batch random_batch(uint32_t seed, size_t anchors, int64_t classes, std::vector<ImageFrame> frames,
                   double high) {
  Uniform uniform(seed);
  Batch batch{generate_anchors(128, 128, {.anchor_scale = 1}), {}, {}, classes, std::move(frames)};
  batch.anchors.resize(anchors);
  batch.logits = uniform.array(batch.frames.size() * anchors * size_t(classes), -9, high);
  batch.codes = uniform.array(batch.frames.size() * anchors * 4, -0.4, 0.4);
  return batch;
}

Tensor on_device(const Shape& shape, const std::vector<float>& values) {
  const Tensor tensor(shape);
  std::copy(values.begin(), values.end(), tensor.data<float>());
  return tensor.to(Device::cuda);
}

std::vector<std::vector<Detection>> run_on_device(const Batch& batch, const DetectOptions& options = {},
                                                  DType dtype = DType::float32) {
  const int64_t n = int64_t(batch.frames.size()), anchors = int64_t(batch.anchors.size());
  std::vector<float> edges;
  for (const Box& a : batch.anchors) edges.insert(edges.end(), {a.ymin, a.xmin, a.ymax, a.xmax});
  return detect_on_device(cast(on_device({n, anchors, batch.classes}, batch.logits), dtype),
                          cast(on_device({n, anchors, 4}, batch.codes), dtype),
                          on_device({anchors, 4}, edges), batch.frames, options);
}

// Runs both and returns the number of detections.
size_t compare_with_cpu(const Batch& batch, const DetectOptions& options, DType dtype = DType::float32) {
  const auto expected =
      detect_batch(batch.logits, batch.codes, batch.anchors, int(batch.classes), batch.frames, options);
  const auto found = run_on_device(batch, options, dtype);
  REQUIRE(found.size() == expected.size());
  size_t count = 0;
  for (size_t i = 0; i < found.size(); ++i) {
    REQUIRE(found[i].size() == expected[i].size());
    double worst = 0;
    int other_label = 0;
    for (size_t d = 0; d < found[i].size(); ++d) {
      const Detection &a = found[i][d], &b = expected[i][d];
      for (float Box::*edge : {&Box::ymin, &Box::xmin, &Box::ymax, &Box::xmax})
        worst = std::max(worst,
                         double(std::abs(a.box.*edge - b.box.*edge)) / std::max(1.0f, std::abs(b.box.*edge)));
      worst = std::max(worst, double(std::abs(a.score - b.score)));
      other_label += a.label != b.label;
    }
    CHECK(worst < 1e-5);
    CHECK(other_label == 0);
    count += found[i].size();
  }
  for (const auto order : {cuda::ThreadOrder::reverse, cuda::ThreadOrder::shuffled}) {
    cuda::set_thread_order(order);
    const auto again = run_on_device(batch, options, dtype);
    cuda::set_thread_order(cuda::ThreadOrder::forward);
    for (size_t i = 0; i < found.size(); ++i) CHECK(same(again[i], found[i]));
  }
  return count;
}

}  // namespace

TEST_CASE("detections on CUDA are the CPU's, in any order of threads") {
  const ImageFrame whole, clipped{.scale = 0.5, .height = 200, .width = 256},
      small{.scale = 2, .height = 32, .width = 9},
      mirrored{.scale = 0.5, .height = 200, .width = 256, .flip = {.horizontal = true}},
      upside_down{.scale = 0.7, .height = 111, .width = 97, .flip = {.vertical = true}};
  struct Row {
    size_t anchors;
    int64_t classes;
    std::vector<ImageFrame> frames;
    double high;
    DetectOptions options;
  };
  const std::vector<Row> rows = {
      {1, 1, {whole}, 3, {}},
      {37, 3, {small, whole}, 1, {.top_k = 20}},
      {341,
       3,
       {whole},
       1,
       {.top_k = 5000, .max_detections = 20, .score_threshold = 0}},  // all that there are
      {774, 3, {mirrored, clipped, upside_down}, 1, {.top_k = 100}},
      {346, 3, {clipped, whole}, 1, {.top_k = 200, .max_detections = 500}},  // number by number
      {774,
       4,
       {whole, clipped, small},
       1,
       {.top_k = 300, .max_detections = 30, .soft_nms = true}},  // in packs
      {774, 3, {clipped}, 2, {.top_k = 1, .score_threshold = 0.5f}},
      {774, 5, {whole}, -4, {.max_detections = 7, .score_threshold = 0.01f, .iou_threshold = 0.2f}},
      {774,
       5,
       {clipped},
       3,
       {.top_k = 100, .score_threshold = 0.8f, .soft_nms = true, .soft_nms_sigma = 0.3f}},
      {501, 3, {whole}, -7, {}},  // no logit reaches the bar
  };
  for (const Row& row : rows) {
    CAPTURE(row.anchors, row.classes, row.options.top_k);
    const Batch batch = random_batch(uint32_t(row.anchors), row.anchors, row.classes, row.frames, row.high);
    const size_t count = compare_with_cpu(batch, row.options);
    CHECK((count > 0) == (row.high > -7));
  }
}

TEST_CASE("detections on CUDA from bfloat16 are the CPU's from the same numbers") {
  const std::vector<ImageFrame> frames{{}, {.scale = 0.5, .height = 200, .width = 256}};
  for (const size_t anchors : {774, 501}) {  // in packs, and number by number
    Batch batch = random_batch(36, anchors, 5, frames, 2);
    for (std::vector<float>* numbers : {&batch.logits, &batch.codes})
      for (float& x : *numbers) x = float(bfloat16(x));
    // More equal ones at the edge than the candidates have room for, so that the index decides.
    std::fill(batch.logits.begin() + 100, batch.logits.begin() + 1900, -1.5f);
    for (const int k : {1, 30, 700, 2000})
      CHECK(compare_with_cpu(batch, {.top_k = k, .soft_nms = k == 30}, DType::bfloat16) > 0);
    batch.logits[302] = NAN;
    CHECK_THROWS_WITH(run_on_device(batch, {}, DType::bfloat16), Contains("class 2 at anchor 60 is NaN"));
    batch.logits[302] = 0;
    std::fill(batch.codes.begin(), batch.codes.end(), INFINITY);
    CHECK_THROWS_WITH(run_on_device(batch, {}, DType::bfloat16), Contains("is inf"));
  }
}

TEST_CASE("top k on CUDA takes the lower index of equal logits") {
  Batch batch = random_batch(33, 774, 5, {{}, {}}, -1);
  for (float& logit : batch.logits) logit = std::round(logit / 2) * 2;  // five values
  batch.logits[7] = 0.0f, batch.logits[3] = -0.0f, batch.logits[9] = INFINITY, batch.logits[8] = -INFINITY;
  for (const int k : {1, 10, 777, 1999})
    compare_with_cpu(batch, {.top_k = k, .max_detections = 20, .score_threshold = 0, .soft_nms = k == 10});
  std::fill(batch.logits.begin(), batch.logits.end(), -2.0f);
  compare_with_cpu(batch, {.top_k = 300, .max_detections = 10});
}

TEST_CASE("more candidates than one block sorts") {
  const Batch batch = random_batch(34, 1549, 6, {{}}, -6);
  REQUIRE(batch.logits.size() > 8192);
  const DetectOptions options{.top_k = 9000, .max_detections = 5, .score_threshold = 0};
  const auto found = run_on_device(batch, options);
  const auto expected = detect_batch(batch.logits, batch.codes, batch.anchors, 6, batch.frames, options);
  REQUIRE(found[0].size() == expected[0].size());
  for (size_t d = 0; d < found[0].size(); ++d) {
    CHECK(found[0][d].label == expected[0][d].label);
    CHECK(found[0][d].score == Approx(expected[0][d].score).margin(1e-5));
  }
}

TEST_CASE("on CUDA outputs that are not numbers are refused with the CPU's messages") {
  const DetectOptions options{.max_detections = 5};
  for (const size_t anchors : {300, 774}) {
    const Batch fine = random_batch(35, anchors, 3, {{}, {}}, 1);
    const auto message = [&](auto change) {
      Batch batch = fine;
      change(batch);
      std::string cpu, cuda;
      try {
        detect_batch(batch.logits, batch.codes, batch.anchors, 3, batch.frames, options);
      } catch (const std::exception& error) {
        cpu = error.what();
      }
      try {
        run_on_device(batch, options);
      } catch (const std::exception& error) {
        cuda = error.what();
      }
      CHECK(cuda == cpu);
      return cuda;
    };
    CHECK_THAT(message([](Batch& b) { b.logits[302] = b.logits[305] = NAN; }),
               Contains("class 2 at anchor 100 is NaN"));
    CHECK_THAT(message([&](Batch& b) { b.logits[anchors * 3 + 4] = -NAN; }),
               Contains("class 1 at anchor 1 is NaN"));
    CHECK_THAT(message([](Batch& b) { b.codes[4 * 7 + 2] = NAN, b.codes[4 * 7 + 3] = INFINITY; }),
               Contains("box code 2 of anchor 7 is nan"));
    CHECK_THAT(
        message([&](Batch& b) { std::fill(b.codes.begin() + long(anchors) * 4, b.codes.end(), -INFINITY); }),
        Contains("is -inf"));
  }
  const Batch fine = random_batch(35, 30, 3, {{}}, 1);
  CHECK_THROWS_WITH(run_on_device(fine, {.top_k = 0}), Contains("top_k is 0"));
  CHECK_THROWS_WITH(run_on_device(fine, {.max_detections = 0}), Contains("max_detections is 0"));
  CHECK_THROWS_WITH(run_on_device(fine, {.iou_threshold = 2}), Contains("iou_threshold is 2"));
  const Tensor logits = zeros({1, 30, 3}), codes = zeros({1, 30, 4}).to(Device::cuda);
  const std::vector<ImageFrame> frames(1);
  CHECK_THROWS_WITH(detect_on_device(logits, codes, codes, frames), Contains("must be float32 on cuda"));
  CHECK_THROWS_WITH(detect_on_device(logits.to(Device::cuda), codes, codes, frames),
                    Contains("the anchors have shape 1x30x4: it must be 30x4"));
  CHECK(detect_on_device(zeros({1, 0, 3}).to(Device::cuda), zeros({1, 0, 4}).to(Device::cuda),
                         zeros({0, 4}).to(Device::cuda), frames)
            .at(0)
            .empty());
}
