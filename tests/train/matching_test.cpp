#include "train/detection/matching.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <map>

#include "cuda/runtime/device.h"
#include "cuda/runtime/graph.h"
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
  // other anchor.
  const std::vector<Box> nested{{0, 0, 10, 10}, {0, 0, 3, 3}};
  targets = match({{0, 0, 10, 10}}, {.boxes = nested, .labels = std::vector<int32_t>{1, 2}});
  CHECK(targets.classes == std::vector<int32_t>{1});  // both choose it: the first object gets it
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

TEST_CASE("matching refuses boxes and labels that cannot be learned") {
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

namespace {

struct Image {
  std::vector<Box> boxes;
  std::vector<int32_t> labels;
  std::vector<Box> crowds;
  MatchTruths truths() const { return {.boxes = boxes, .labels = labels, .crowds = crowds}; }
};

// Boxes with corners at multiples of a quarter, so that many IoUs are equal.
Image random_image(Uniform& uniform, int objects, int crowds, int size) {
  Image image;
  const auto box = [&](int most) {
    const float y = float(uniform.below(size * 4)) / 4, x = float(uniform.below(size * 4)) / 4;
    return Box{y, x, y + 1 + float(uniform.below(most)), x + 1 + float(uniform.below(most))};
  };
  for (int i = 0; i < objects; ++i) {
    image.boxes.push_back(box(size / 2));
    image.labels.push_back(uniform.below(90));
    if (i % 5 == 4) image.boxes.back() = image.boxes[size_t(i) / 2];  // both choose the same anchor
  }
  for (int i = 0; i < crowds; ++i) image.crowds.push_back(box(size));
  return image;
}

struct DeviceTargets {
  std::vector<double> classes, boxes;
  double normalizer;
  bool operator==(const DeviceTargets&) const = default;
};

DeviceTargets match_on_device(const std::vector<Box>& anchors, const std::vector<MatchTruths>& images,
                              int64_t room, const MatchOptions& options) {
  const PaddedTruths padded = pad_truths(images, room);
  const DeviceMatcher matcher(anchors, options);
  const int64_t n = int64_t(images.size());
  const Tensor classes({n, matcher.num_anchors()}, DType::int32, Device::cuda);
  const Tensor boxes({n, matcher.num_anchors(), 4}, DType::float32, Device::cuda);
  const Tensor normalizer({}, DType::float32, Device::cuda);
  matcher.match_batch({padded.boxes.to(Device::cuda), padded.labels.to(Device::cuda)}, classes, boxes,
                      normalizer);
  return {classes.values(), boxes.values(), normalizer.item()};
}

}  // namespace

TEST_CASE("matching on CUDA is the CPU's, in any order of threads") {
  Uniform uniform(71);
  struct Row {
    int size;        // of the image: 774 anchors at 64 pixels, 3069 at 128
    size_t anchors;  // the first of them: up to 256 the naive kernels run
    std::vector<int> objects;
    int crowds;
    int64_t room;
    MatchOptions options;
  };
  const std::vector<Row> rows = {
      {64, 1, {1}, 0, 1, {}},
      {64, 199, {3, 0, 7}, 2, 9, {}},
      {64, 256, {11}, 1, 13, {.iou_threshold = 0.3f}},
      {64, 257, {5, 2}, 1, 8, {}},
      {64, 774, {0, 13, 1, 16}, 3, 19, {.iou_threshold = 0.4f, .crowd_threshold = 0.7f}},
      {64, 300, {261}, 0, 261, {}},
      {128, 3069, {9}, 2, 12, {}}};
  for (const Row& row : rows) {
    auto anchors = generate_anchors(row.size, row.size, {.anchor_scale = 1.5});
    anchors.resize(row.anchors, Box{0, 0, 8, 8});
    std::vector<Image> images;
    std::vector<MatchTruths> truths;
    for (const int objects : row.objects)
      images.push_back(random_image(uniform, objects, row.crowds, row.size));
    for (const Image& image : images) truths.push_back(image.truths());
    const size_t n = images.size() * anchors.size();
    std::vector<int32_t> classes(n);
    std::vector<float> boxes(n * 4);
    const MatchCounts counts = AnchorMatcher(anchors, row.options).match_batch(truths, classes, boxes);

    const DeviceTargets targets = match_on_device(anchors, truths, row.room, row.options);
    CAPTURE(row.anchors);
    CHECK(targets.classes == std::vector<double>(classes.begin(), classes.end()));
    double worst = 0;
    for (size_t i = 0; i < n * 4; ++i) worst = std::max(worst, std::abs(targets.boxes[i] - double(boxes[i])));
    CHECK(worst < 2e-6);
    CHECK(targets.normalizer == double(counts.positives) + 1);
    for (const auto order : {cuda::ThreadOrder::reverse, cuda::ThreadOrder::shuffled}) {
      cuda::set_thread_order(order);
      const DeviceTargets other = match_on_device(anchors, truths, row.room, row.options);
      cuda::set_thread_order(cuda::ThreadOrder::forward);
      CHECK(other == targets);
    }
  }
}

TEST_CASE("matching on CUDA finds nothing if there is nothing") {
  const std::vector<Box> anchors{{0, 0, 10, 10}, {0, 10, 10, 20}};
  const DeviceTargets targets = match_on_device(anchors, {{}, {}}, 0, {});
  CHECK(targets.classes == std::vector<double>(4, background_target));
  CHECK(targets.boxes == std::vector<double>(16, 0));
  CHECK(targets.normalizer == 1);
  CHECK(match_on_device(anchors, {}, 3, {}).normalizer == 1);
  CHECK(match_on_device(generate_anchors(64, 64, {}), {{}}, 0, {}).normalizer == 1);
}

TEST_CASE("matching on CUDA at the threshold is as exact as on the CPU") {
  // IoUs of a box with itself and with equal boxes, whose products do not fit a float: fused with the
  // subtraction that follows, they would differ from 1.
  std::vector<Box> anchors;
  for (int i = 0; i < 700; ++i) {
    const float y = 0.1f + 0.37f * float(i), x = 0.3f + 0.73f * float(i % 31);
    anchors.push_back({y, x, y + 3.3f + 0.013f * float(i), x + 7.7f + 0.017f * float(i)});
  }
  const std::vector<Box> objects(anchors.begin() + 100, anchors.begin() + 130);
  const std::vector<int32_t> labels(objects.size(), 1);
  std::vector<int32_t> classes(anchors.size());
  std::vector<float> codes(anchors.size() * 4);
  for (const float threshold : {1.0f, 0.97f, 0.5f}) {
    const MatchTruths image{.boxes = objects, .labels = labels};
    AnchorMatcher(anchors, {.iou_threshold = threshold}).match(image, classes, codes);
    CHECK(match_on_device(anchors, {image}, 30, {.iou_threshold = threshold}).classes ==
          std::vector<double>(classes.begin(), classes.end()));
  }
}

TEST_CASE("a captured matching serves each new batch") {
  Uniform uniform(72);
  const auto anchors = generate_anchors(64, 64, {.anchor_scale = 1.5});
  const DeviceMatcher matcher(anchors);
  const int64_t n = matcher.num_anchors(), room = 10;
  const PaddedTruths truths{zeros({2, room, 4}, DType::float32, Device::cuda),
                            zeros({2, room}, DType::int32, Device::cuda)};
  const Tensor classes({2, n}, DType::int32, Device::cuda), boxes({2, n, 4}, DType::float32, Device::cuda);
  const Tensor normalizer({}, DType::float32, Device::cuda);
  cuda::Graph graph;
  for (int step = 0; step < 4; ++step) {
    const Image first = random_image(uniform, 2 * step, 1, 64),
                second = random_image(uniform, 7 - step, 0, 64);
    const std::vector<MatchTruths> images{first.truths(), second.truths()};
    const PaddedTruths batch = pad_truths(images, room);
    truths.boxes.copy_from(batch.boxes);
    truths.labels.copy_from(batch.labels);
    const auto work = [&] { matcher.match_batch(truths, classes, boxes, normalizer); };
    if (step == 0) graph.warm_up(work);
    if (step == 1) graph.capture(work);
    if (step > 0) graph.replay();
    CHECK(DeviceTargets{classes.values(), boxes.values(), normalizer.item()} ==
          match_on_device(anchors, images, room, {}));
  }
}

TEST_CASE("matching on CUDA refuses what does not fit") {
  const std::vector<Box> anchors{{0, 0, 10, 10}}, flat{{0, 0, 0, 5}}, two(2, Box{0, 0, 1, 1});
  const std::vector<int32_t> labels{0, 1};
  CHECK_THROWS_WITH(DeviceMatcher(flat), Contains("anchor 0 with"));
  CHECK_THROWS_WITH(DeviceMatcher(anchors, {.iou_threshold = 0}), Contains("iou_threshold is 0"));
  const std::vector<MatchTruths> image{{.boxes = two, .labels = labels, .crowds = two}};
  CHECK_THROWS_WITH(pad_truths(image, 3), Contains("image 0 has 2 objects and 2 crowd regions"));
  CHECK_THROWS_WITH(pad_truths(std::vector<MatchTruths>{{.boxes = two}}, 3),
                    Contains("2 boxes and 0 labels"));
  const PaddedTruths truths = pad_truths(image, 4);
  const DeviceMatcher matcher(anchors);
  const Tensor classes({1, 1}, DType::int32, Device::cuda), codes({1, 1, 4}, DType::float32, Device::cuda);
  const Tensor one({}, DType::float32, Device::cuda);
  CHECK_THROWS_WITH(matcher.match_batch(truths, classes, codes, one), Contains("padded labels are on cpu"));
  const PaddedTruths there{truths.boxes.to(Device::cuda), truths.labels.to(Device::cuda)};
  CHECK_THROWS_WITH(matcher.match_batch(there, classes, classes, one),
                    Contains("box targets have shape 1x1"));
  CHECK_THROWS_WITH(matcher.match_batch(there, classes, codes, codes), Contains("normalizer has 4 numbers"));
}
