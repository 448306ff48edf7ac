#include "train/detection/captured_detection.h"

#include <catch2/catch.hpp>

#include "cuda/runtime/counters.h"
#include "ops/arithmetic.h"
#include "tests/support/execution.h"
#include "train/detection/detector.h"
#include "train/optim/ema.h"

using namespace fovea;

namespace {

constexpr int height = 32, width = 64;

Detector tiny_detector() {
  EfficientDetSpec spec = efficientdet_spec("efficientdet_d-3");
  Random random(1);
  auto model = std::make_shared<EfficientDet>(spec, 3, random);
  model->to(Device::cuda);
  model->set_training(false);
  return {model, {height, width}, {"a", "b", "c"}};
}

Tensor images_of(uint64_t seed, int64_t count = 1) {
  Random random(seed);
  return randn({count, height, width, 3}, random);
}

std::vector<ImageFrame> frames_of(uint64_t seed, int64_t count = 1) {
  std::vector<ImageFrame> frames;
  for (int64_t i = 0; i < count; ++i) frames.push_back({0.5, 50 + int(seed), 100 + int(i)});
  return frames;
}

// The same without a graph.
std::vector<std::vector<Detection>> expected(const Detector& detector, const Tensor& images,
                                             std::span<const ImageFrame> frames,
                                             const DetectOptions& options = {}) {
  const NoGrad no_grad;
  const DetectorOutput output = detector.outputs(images.to(Device::cuda));
  return detect_on_device(output.class_logits, output.box_codes,
                          anchor_tensor(detector.anchors()).to(Device::cuda), frames, options);
}

bool same(const std::vector<std::vector<Detection>>& a, const std::vector<std::vector<Detection>>& b) {
  const auto equal = [](const Detection& x, const Detection& y) {
    return x.box == y.box && x.score == y.score && x.label == y.label;
  };
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [&](const auto& x, const auto& y) {
    return std::equal(x.begin(), x.end(), y.begin(), y.end(), equal);
  });
}

// The work that one detection submitted to the device.
cuda::Counters since(const cuda::Counters& before) {
  const cuda::Counters& now = cuda::counters();
  return {now.launches - before.launches,       now.graph_replays - before.graph_replays,
          now.allocations - before.allocations, now.synchronizations - before.synchronizations,
          now.throttles - before.throttles,     now.copies - before.copies};
}

}  // namespace

TEST_CASE("a replayed detection has the bits of one without a graph, and waits once") {
  for (const cuda::Execution execution : executions()) {
    const WithExecution with(execution);
    Detector detector = tiny_detector();
    size_t found = 0;
    for (uint64_t seed = 0; seed < 5; ++seed) {
      const Tensor images = images_of(seed);
      const auto frames = frames_of(seed);
      const cuda::Counters before = cuda::counters();
      const auto detections = detector.detect(images, frames);
      const cuda::Counters asked = since(before);
      CHECK(asked.synchronizations == 1);
      CHECK(asked.graph_replays == (seed >= 2));
      if (seed > 2) {
        CHECK(asked.launches == 0);
        CHECK(asked.copies == 2);  // images and frames; that of the boxes is a part of the graph
        CHECK(asked.allocations == 0);
        CHECK(asked.throttles == 0);
      }
      CHECK(same(detections, expected(detector, images, frames)));
      found += detections[0].size();
    }
    CHECK(found > 20);
  }
}

TEST_CASE("a replayed detection reads the current weights, even after they have moved") {
  Detector detector = tiny_detector();
  const Tensor images = images_of(7);
  const auto frames = frames_of(7);
  const auto run = [&](int64_t replays) {
    const cuda::Counters before = cuda::counters();
    const auto detections = detector.detect(images, frames);
    CHECK(since(before).graph_replays == replays);
    CHECK(same(detections, expected(detector, images, frames)));
    return detections;
  };
  for (const int64_t replays : {0, 0, 1}) run(replays);
  const auto first = run(1);

  // In place: an average that is swapped in and out, and a change by hand.
  const Ema ema(detector.model(), 0.9);
  for (const NamedTensor& weight : detector.model().parameters()) {
    const NoGrad no_grad;
    if (weight.tensor.rank() > 1) weight.tensor.copy_from(weight.tensor + weight.tensor);
  }
  const auto changed = run(1);
  CHECK_FALSE(same(changed, first));
  ema.swap();
  CHECK(same(run(1), first));
  ema.swap();
  CHECK(same(run(1), changed));

  // Moved: the numbers have new addresses, since the old tensors are kept.
  Tensors old;
  for (const NamedTensor& weight : state_dict(detector.model())) old.push_back(weight.tensor.detach());
  detector.model().to(Device::cpu);
  detector.model().to(Device::cuda);
  for (const Tensor& tensor : old) tensor.fill(0);
  for (const int64_t replays : {0, 0, 1}) CHECK(same(run(replays), changed));
}

TEST_CASE("each kind of batch has its graph, training mode none, and the latest are kept") {
  Detector detector = tiny_detector();
  const DetectOptions soft{.top_k = 500, .soft_nms = true};
  for (int i = 0; i < 4; ++i) {
    const auto one = frames_of(3), two = frames_of(4, 2);
    CHECK(same(detector.detect(images_of(3), one), expected(detector, images_of(3), one)));
    CHECK(same(detector.detect(images_of(4, 2), two), expected(detector, images_of(4, 2), two)));
    CHECK(same(detector.detect(images_of(3), one, soft), expected(detector, images_of(3), one, soft)));
  }
  detector.model().set_training(true);
  const cuda::Counters before = cuda::counters();
  for (int i = 0; i < 4; ++i) detector.detect(images_of(3), frames_of(3));
  CHECK(since(before).graph_replays == 0);

  const Tensor logits({1, 4, 3}, DType::float32, Device::cuda),
      codes({1, 4, 4}, DType::float32, Device::cuda);
  const auto network = [&](const Tensor&) { return DetectorOutput{logits, codes}; };
  CapturedDetections kinds(network, zeros({4, 4}).to(Device::cuda), 3);
  const CapturedDetection* latest = nullptr;
  for (int64_t count = 1; count < 7; ++count) latest = &kinds.of(images_of(1, count), {});
  CHECK(kinds.size() == CapturedDetections::most);
  CHECK(&kinds.of(images_of(1, 6), {}) == latest);
  const cuda::Stream stream;
  const cuda::StreamGuard guard(stream);
  CHECK(&kinds.of(images_of(1, 6), {}) != latest);  // a graph belongs to its stream
}

TEST_CASE("a detection that fails does not make the next one fail") {
  Detector detector = tiny_detector();
  const auto frames = frames_of(5);
  for (int i = 0; i < 4; ++i) {
    CHECK_THROWS_WITH(detector.detect(full({1, height, width, 3}, NAN), frames), Catch::Contains("is NaN"));
    CHECK(same(detector.detect(images_of(5), frames), expected(detector, images_of(5), frames)));
  }
  CHECK_THROWS_WITH(detector.detect(images_of(5, 2), frames), Catch::Contains("1 frames for 2 images"));
}
