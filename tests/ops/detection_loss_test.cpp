#include "ops/detection_loss.h"

#include <catch2/catch.hpp>
#include <cmath>

#include "cuda/runtime/graph.h"
#include "ops/arithmetic.h"
#include "ops/support/check_op.h"
#include "ops/support/dispatch.h"
#include "tests/support/box_goldens.h"

using namespace fovea;

namespace {
// The paper's formula with pow and log as written, in double.
double focal(double x, bool positive, double alpha, double gamma, double smoothing) {
  const double p = 1 / (1 + std::exp(-x)), pt = positive ? p : 1 - p,
               target = (positive ? 1 - smoothing : 0) + smoothing / 2;
  return (positive ? alpha : 1 - alpha) * std::pow(1 - pt, gamma) *
         -(target * std::log(p) + (1 - target) * std::log(1 - p));
}

constexpr IouLossKind iou_losses[] = {IouLossKind::giou, IouLossKind::diou, IouLossKind::ciou};

// The loss of one box of an anchor 20 high and 10 wide, and its gradient.
std::pair<double, std::vector<double>> iou_loss_of(IouLossKind kind, const std::vector<double>& code,
                                                   const std::vector<double>& target,
                                                   DType dtype = DType::float64,
                                                   Device device = Device::cpu) {
  const Tensor p = from_values({1, 4}, code, dtype).to(device).set_requires_grad();
  const Tensor loss =
      iou_loss(p, from_values({1, 4}, target, dtype).to(device), zeros({1}, DType::int32, device),
               from_values({1, 4}, {100, 200, 120, 210}, dtype).to(device), 1, kind);
  loss.backward();
  return {loss.item(), p.grad().values()};
}
}  // namespace

TEST_CASE("focal loss equals its formula") {
  const std::vector<double> x = {-3, 0.5, 2, 1, -1, 0.1};
  const Tensor targets = from_values({3}, {1, background_target, ignored_target}, DType::int32);
  for (double smoothing : {0.0, 0.1}) {
    const double expected = (focal(-3, false, 0.3, 2, smoothing) + focal(0.5, true, 0.3, 2, smoothing) +
                             focal(2, false, 0.3, 2, smoothing) + focal(1, false, 0.3, 2, smoothing)) /
                            7;
    const FocalLossOptions options{0.3, 2, smoothing};
    CHECK(focal_loss(from_values({3, 2}, x, DType::float64), targets, 7, options).item() ==
          Approx(expected).epsilon(1e-12));
    CHECK(focal_loss(from_values({3, 2}, x), targets, 7, options).item() == Approx(expected).epsilon(1e-5));
  }
}

TEST_CASE("focal loss is finite for any logit, with its gradient") {
  for (double x : {-1e4, -90.0, 0.0, 90.0, 1e4})
    for (int target : {0, background_target}) {
      const Tensor logits = from_values({1, 1}, {x}).set_requires_grad();
      const Tensor loss = focal_loss(logits, from_values({1}, {double(target)}, DType::int32), 1);
      loss.backward();
      CHECK(std::isfinite(loss.item()));
      CHECK(std::isfinite(logits.grad().item()));
      const bool wrong = (x > 0) != (target == 0) && x != 0;
      if (wrong) CHECK(loss.item() == Approx((target == 0 ? 0.25 : 0.75) * std::abs(x)).epsilon(1e-4));
    }
}

TEST_CASE("focal loss and its gradient in float32 are within 2e-6 of those in float64") {
  for (const double gamma : {1.5, 2.0})
    for (const int target : {0, background_target})
      for (double x = -16; x <= 16; x += 0.37) {
        const auto loss_and_gradient = [&](DType dtype, Device device) {
          const Tensor logit = from_values({1, 1}, {double(float(x))}, dtype).to(device).set_requires_grad();
          const Tensor label = from_values({1}, {double(target)}, DType::int32).to(device);
          const Tensor loss = focal_loss(logit, label, 1, {0.25, gamma, 0});
          loss.backward();
          return std::pair{loss.item(), logit.grad().item()};
        };
        const auto [loss, gradient] = loss_and_gradient(DType::float64, Device::cpu);
        for (const Device device : {Device::cpu, Device::cuda}) {
          const auto [rounded_loss, rounded_gradient] = loss_and_gradient(DType::float32, device);
          CAPTURE(x, target, gamma, device);
          // u^gamma through an exponential has its argument's rounding error, up to 2 * 16
          const double factor = gamma == 1.5 ? 1 : 8;
          CHECK(rounded_loss == Approx(loss).epsilon(factor * 2e-6).margin(1e-30));
          CHECK(rounded_gradient == Approx(gradient).epsilon(factor * 2e-6).margin(1e-30));
        }
      }
}

TEST_CASE("gradients of the detection losses") {
  Random random(3);
  // Numbers of logits that are a multiple of a pack, also over several blocks, and others.
  for (auto [anchors, classes] : std::vector<std::pair<int64_t, int64_t>>{
           {131, 1}, {131, 3}, {131, 90}, {1, 1}, {128, 1}, {136, 3}, {300, 20}, {140, 90}}) {
    const Tensor logits = randn({1, anchors, classes}, random, DType::float64);
    std::vector<double> labels;
    for (int64_t i = 0; i < anchors; ++i) labels.push_back(double(random.below(classes + 2)) - 2);
    if (anchors == 1) labels[0] = 0;
    const Tensor targets = from_values({1, anchors}, labels, DType::int32);
    for (double gamma : {0.0, 1.5, 2.0})
      CHECK_NOTHROW(check_op(
          [=](const Tensors& in) {
            return focal_loss(in[0], targets.to(in[0].device()), 13, {0.25, gamma, 0.05});
          },
          {logits}, {.max_probes = 60}));
  }
  for (const Shape& shape : {Shape{37, 4}, Shape{2, 700, 4}, Shape{7}, Shape{1}}) {
    const Tensor p = randn(shape, random, DType::float64), t = randn(shape, random, DType::float64);
    if (t.numel() > 5) t.data<double>()[5] = 0;
    CHECK_NOTHROW(check_op(
        [=](const Tensors& in) {
          const DType real = accumulator_dtype(in[0].dtype());
          return huber_loss(in[0], from_values(t.shape(), t.values(), real).to(in[0].device()), 5, 0.3);
        },
        {p}, {.max_probes = 60}));
  }
}

TEST_CASE("on CUDA a target out of range makes the loss NaN") {
  const auto loss_of = [](double target, const Shape& shape) {  // focal_loss of one anchor with that target
    std::vector<double> targets(size_t(shape[0]), background_target);
    targets.back() = target;
    const Tensor logits = zeros(shape, DType::float32, Device::cuda).set_requires_grad();
    const Tensor loss =
        focal_loss(logits, from_values({shape[0]}, targets, DType::int32).to(Device::cuda), 1);
    loss.backward();
    CHECK(std::isnan(logits.grad().values().back()) == std::isnan(loss.item()));
    CHECK(logits.grad().values().front() > 0);
    return loss.item();
  };
  for (const Shape& shape : {Shape{4, 3}, Shape{5, 3}}) {  // in packs, and one by one
    CHECK(loss_of(2, shape) > 0);
    CHECK(loss_of(ignored_target, shape) > 0);
    CHECK(std::isnan(loss_of(3, shape)));
    CHECK(std::isnan(loss_of(-3, shape)));
  }
}

TEST_CASE("a captured graph of the detection losses reads normalizer and targets from memory") {
  Random random(3);
  const Tensor logits = randn({6, 2}, random), codes = randn({6, 4}, random), boxes = randn({6, 4}, random);
  const Tensor leaf = logits.to(Device::cuda).set_requires_grad(), codes_on_cuda = codes.to(Device::cuda),
               boxes_on_cuda = boxes.to(Device::cuda);
  const Tensor targets = full({6}, background_target, DType::int32, Device::cuda),
               normalizer = ones({}, DType::float32, Device::cuda);
  Tensor loss, gradient;
  const auto step = [&] {
    leaf.clear_grad();
    loss = focal_loss(leaf, targets, normalizer) + huber_loss(codes_on_cuda, boxes_on_cuda, normalizer);
    loss.backward();
    gradient = leaf.grad();
  };
  cuda::Graph graph;
  graph.warm_up(step);
  graph.capture(step);
  const Tensor new_targets = from_values({6}, {0, 1, -1, -2, 1, -1}, DType::int32);
  targets.copy_from(new_targets);
  normalizer.fill(3);
  graph.replay();
  const Tensor expected_leaf = logits.detach().set_requires_grad();
  const Tensor expected = focal_loss(expected_leaf, new_targets, 3) + huber_loss(codes, boxes, 3);
  expected.backward();
  CHECK(loss.item() == Approx(expected.item()).epsilon(1e-6));
  CHECK(relative_difference(gradient, expected_leaf.grad()) < 1e-6);
}

TEST_CASE("Huber loss by hand") {
  const Tensor p = from_values({1, 4}, {1, 1, 1, 1}), t = from_values({1, 4}, {0.95, 0, 3, 1});
  // |e| = 0.05: 0.5 e^2; target 0: not counted; |e| = 2: 0.5 0.01 + 0.1 1.9; equal: 0
  CHECK(huber_loss(p, t, 2).item() == Approx((0.00125 + 0.005 + 0.19) / 8).epsilon(1e-5));
}

TEST_CASE("IoU losses by hand") {
  // Boxes of 20 x 10, one half a height below the other: IoU 100 / 300, hull 30 x 10, no part of it empty.
  const std::vector<double> below = {0.5, 0, 0, 0}, same = {0, 0, 0, 0};
  CHECK(iou_loss_of(IouLossKind::giou, below, same).first == Approx(2.0 / 3));
  CHECK(iou_loss_of(IouLossKind::diou, below, same).first == Approx(2.0 / 3 + 100.0 / 1000));
  CHECK(iou_loss_of(IouLossKind::ciou, below, same).first == Approx(2.0 / 3 + 100.0 / 1000));
  // Two heights below: 60 x 10 of hull, a third of it empty.
  CHECK(iou_loss_of(IouLossKind::giou, {2, 0, 0, 0}, same).first == Approx(1 + 1.0 / 3));
  CHECK(iou_loss_of(IouLossKind::diou, {2, 0, 0, 0}, same).first == Approx(1 + 1600.0 / 3700));
  // Twice as high, 40 x 10: IoU 1/2, the same centre, angles atan(1/4) and atan(1/2).
  const double angle = std::atan(0.5) - std::atan(0.25), v = 4 * angle * angle / (M_PI * M_PI);
  const std::vector<double> high = {0, 0, std::log(2.0), 0};
  CHECK(iou_loss_of(IouLossKind::diou, high, same).first == Approx(0.5));
  CHECK(iou_loss_of(IouLossKind::ciou, high, same).first == Approx(0.5 + v * v / (0.5 + v)));
}

TEST_CASE("IoU losses and their gradients equal torchvision's") {
  const auto golden = read_golden("box_iou_loss");
  REQUIRE(golden.size() == 8);
  for (const auto& row : golden)
    for (const auto& [name, kind] :
         {std::pair{"giou", IouLossKind::giou}, std::pair{"diou", IouLossKind::diou},
          std::pair{"ciou", IouLossKind::ciou}}) {
      const auto numbers = [](const nlohmann::json& list) {
        return from_values({1, 4}, list.get<std::vector<double>>(), DType::float64);
      };
      const Tensor code = numbers(row["code"]).set_requires_grad();
      const Tensor loss =
          iou_loss(code, numbers(row["target"]), zeros({1}, DType::int32), numbers(row["anchor"]), 1, kind);
      loss.backward();
      CAPTURE(row.dump(), name);
      CHECK(loss.item() == Approx(row[name]["loss"].get<double>()).epsilon(1e-7));  // torchvision's adds 1e-7
      CHECK(relative_difference(code.grad(), numbers(row[name]["gradient"])) < 1e-6);
    }
}

TEST_CASE("gradients of the IoU losses") {
  Random random(5);
  for (const auto& [images, anchors] : std::vector<std::pair<int64_t, int64_t>>{{1, 1}, {3, 7}, {2, 1301}}) {
    const Tensor p = randn({images, anchors, 4}, random, DType::float64),
                 t = randn({images, anchors, 4}, random, DType::float64);
    std::vector<double> labels, edges;
    for (int64_t i = 0; i < images * anchors; ++i) labels.push_back(double(random.below(5)) - 2);
    labels[0] = 0;
    for (int64_t i = 0; i < anchors; ++i) {
      const double y = double(random.below(300)), x = double(random.below(300));
      edges.insert(edges.end(), {y, x, y + 8 + double(random.below(90)), x + 8 + double(random.below(90))});
    }
    for (const IouLossKind kind : iou_losses) {
      CAPTURE(images, anchors, int(kind));
      CheckOptions options{.max_probes = 60};
      // Alpha is held constant: central differences differentiate another function; torchvision's gradients
      // above are of this one.
      if (kind == IouLossKind::ciou) options.gradient_tolerance = 10;
      CHECK_NOTHROW(check_op(
          [=, anchors = anchors](const Tensors& in) {
            const Device device = in[0].device();
            const DType real = accumulator_dtype(in[0].dtype());
            return iou_loss(in[0], from_values(t.shape(), t.values(), real).to(device),
                            from_values({int64_t(labels.size())}, labels, DType::int32).to(device),
                            from_values({anchors, 4}, edges, real).to(device), 5, kind);
          },
          {p}, options));
    }
  }
}

TEST_CASE("only anchors with an object count in an IoU loss") {
  for (const Device device : {Device::cpu, Device::cuda}) {
    const Tensor p =
        from_values({3, 4}, {9, 9, 9, 9, 0.5, 0, 0, 0, NAN, 0, 0, 0}).to(device).set_requires_grad();
    const Tensor labels = from_values({3}, {background_target, 2, ignored_target}, DType::int32).to(device);
    const Tensor anchors = from_values({1, 4}, {0, 0, 20, 10}).to(device);
    const Tensor loss = iou_loss(p, zeros({3, 4}).to(device), labels, anchors, 2, IouLossKind::giou);
    loss.backward();
    CHECK(loss.item() == Approx(1.0 / 3));
    const std::vector<double> dp = p.grad().values();
    CHECK(dp[4] > 0);
    for (const size_t other : {0, 1, 2, 3, 8, 9, 10, 11}) CHECK(dp[other] == 0);
  }
}

TEST_CASE("IoU losses of equal, distant and empty boxes are finite, with their gradients") {
  const std::vector<double> target = {0.3, -0.2, 0.4, -0.1}, nothing = {0, 0, 0, 0};
  for (const Device device : {Device::cpu, Device::cuda})
    for (const DType dtype : {DType::float64, DType::float32})
      for (const IouLossKind kind : iou_losses) {
        CAPTURE(device, int(kind));
        const auto [equal, at_equal] = iou_loss_of(kind, target, target, dtype, device);
        CHECK(std::abs(equal) <= (device == Device::cpu ? 0 : 1e-6));  // a GPU may fuse products and sums
        for (const double number : at_equal) CHECK(std::abs(number) < 1e-6);
        for (const std::vector<double>& code : std::vector<std::vector<double>>{{1e9, 0, 0, 0},
                                                                                {-1e9, 1e9, 100, 100},
                                                                                {0, 0, 1e9, -1e9},
                                                                                {0, 0, -1e9, -1e9},
                                                                                {3, 3, -40, 0}}) {
          const auto [loss, gradient] = iou_loss_of(kind, code, target, dtype, device);
          CAPTURE(code, loss, gradient);
          CHECK((loss >= 0.5 && loss < 4));
          for (size_t k = 0; k < 4; ++k) {
            CHECK(std::isfinite(gradient[k]));
            // Decoding clamps these, and the gradient is 0.
            if (code[k] >= 100 || (k < 2 && code[k] <= -1e9)) CHECK(gradient[k] == 0);
          }
        }
        CHECK(std::isnan(iou_loss_of(kind, {0, NAN, 0, 0}, target, dtype, device).first));
        // A target without an area, which encode() refuses, and then both.
        for (const auto& code : {nothing, std::vector<double>{0, 0, -1e9, -1e9}}) {
          const auto [loss, gradient] = iou_loss_of(kind, code, {0, 0, -1e9, -1e9}, dtype, device);
          CHECK(std::isfinite(loss));
          for (const double number : gradient) CHECK(std::isfinite(number));
        }
      }
}

TEST_CASE("weights of classes multiply the focal loss of each class's logits") {
  Random random(9);
  const Tensor weights = from_values({3}, {0.5, 1, 4}, DType::float64);
  const auto one = [](int64_t k) {
    std::vector<double> weight(3, 0);
    weight[size_t(k)] = 1;
    return from_values({3}, weight, DType::float64);
  };
  for (const int64_t anchors : {1, 8, 131}) {  // for a GPU: a pack's number of logits, and others
    const Tensor logits = randn({anchors, 3}, random, DType::float64);
    std::vector<double> labels;
    for (int64_t i = 0; i < anchors; ++i) labels.push_back(double(random.below(5)) - 2);
    labels[0] = 1;
    const Tensor targets = from_values({anchors}, labels, DType::int32);
    const FocalLossOptions options{0.3, 1.5, 0.1};
    double sum = 0, plain = 0;
    for (int64_t k = 0; k < 3; ++k) {
      const double of_class = focal_loss(logits, targets, 7, options, one(k)).item();
      sum += weights.values()[size_t(k)] * of_class;
      plain += of_class;
    }
    CHECK(focal_loss(logits, targets, 7, options, weights).item() == Approx(sum));
    CHECK(focal_loss(logits, targets, 7, options).item() == Approx(plain));
    CHECK_NOTHROW(check_op(
        [=](const Tensors& in) {
          const Tensor w = from_values({3}, weights.values(), accumulator_dtype(in[0].dtype()));
          const Device device = in[0].device();
          return focal_loss(in[0], targets.to(device), 7, options, w.to(device));
        },
        {logits}));
  }
  CHECK_THROWS_WITH(focal_loss(zeros({2, 3}), zeros({2}, DType::int32), 1, {}, ones({2})),
                    Catch::Contains("class weights are float32 of 2: logits 2x3 need float32 of 3"));
  CHECK_THROWS_WITH(focal_loss(zeros({2, 3}), zeros({2}, DType::int32), 1, {}, weights),
                    Catch::Contains("class weights are float64"));
}

TEST_CASE("detection losses refuse targets that do not fit") {
  CHECK_THROWS_WITH(focal_loss(zeros({2, 3}), from_values({2}, {0, 3}, DType::int32), 1),
                    Catch::Contains("target 3 of anchor 1") && Catch::Contains("0 to 2"));
  CHECK_THROWS_WITH(focal_loss(zeros({2, 3}), zeros({3}, DType::int32), 1),
                    Catch::Contains("one int32 target per anchor"));
  CHECK_THROWS_WITH(focal_loss(zeros({2, 3}), zeros({2}, DType::int32), 0), Catch::Contains("normalizer 0"));
  CHECK_THROWS_WITH(huber_loss(zeros({2, 4}), zeros({3, 4}), 1), Catch::Contains("2x4"));
  CHECK_THROWS_WITH(huber_loss(zeros({2, 4}), zeros({2, 4}), zeros({})), Catch::Contains("normalizer 0"));
  const auto iou = [](const Shape& p, const Shape& t, int64_t labels, const Shape& anchors,
                      double normalizer) {
    return iou_loss(zeros(p), zeros(t), zeros({labels}, DType::int32), ones(anchors), normalizer,
                    IouLossKind::giou);
  };
  CHECK_THROWS_WITH(iou({2, 4}, {3, 4}, 2, {2, 4}, 1), Catch::Contains("they must match"));
  CHECK_THROWS_WITH(iou({4, 2}, {4, 2}, 2, {2, 4}, 1), Catch::Contains("four numbers per box"));
  CHECK_THROWS_WITH(iou({2, 4}, {2, 4}, 3, {2, 4}, 1), Catch::Contains("one int32 label per box"));
  CHECK_THROWS_WITH(iou({3, 4}, {3, 4}, 3, {2, 4}, 1), Catch::Contains("for whole images of the 3 boxes"));
  CHECK_THROWS_WITH(iou({2, 4}, {2, 4}, 2, {2, 4}, 0), Catch::Contains("normalizer 0"));
  CHECK_THROWS_WITH(focal_loss(zeros({2, 3}), zeros({2}, DType::int32), ones({}, DType::float64)),
                    Catch::Contains("one number of float32"));
  CHECK_THROWS_WITH(
      focal_loss(zeros({2, 3}), zeros({2}, DType::int32), ones({}, DType::float32, Device::cuda)),
      Catch::Contains("is on cpu"));
}
