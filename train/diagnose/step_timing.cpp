#include "train/diagnose/step_timing.h"

#include "core/error.h"
#include "cuda/runtime/device.h"
#include "cuda/runtime/graph.h"
#include "models/anchors.h"
#include "models/postprocess.h"
#include "ops/arithmetic.h"
#include "ops/cross_entropy.h"
#include "ops/detection_loss.h"
#include "ops/shape_ops.h"
#include "train/diagnose/timing.h"
#include "train/optim/optimizer.h"

namespace fovea {
namespace {

constexpr double learning_rate = 0.001;
constexpr double object_share = 0.005;  // of the anchors

// Plain SGD: the update's memory traffic.
void update(const Module& model) {
  for (const NamedTensor& p : model.parameters()) {
    float* w = p.tensor.data<float>();
    const float* g = p.tensor.grad().data<float>();
    for (int64_t i = 0; i < p.tensor.numel(); ++i) w[i] -= float(learning_rate) * g[i];
  }
}

Optimizer plain_sgd(const Module& model) {
  return {model.parameters(), {.momentum = 0, .weight_decay = 0, .clip_norm = 0}};
}

}  // namespace

StepTiming::StepTiming(const StepOptions& options) : options_(options) {
  StepOptions& o = options_;
  require(o.batch >= 1 && o.image_size >= 0 && o.classes >= 0,
          "a batch of {} images of {} px with {} classes cannot be timed: give a batch of at least 1",
          o.batch, o.image_size, o.classes);
  require(o.device == Device::cuda || o.precision == DType::float32,
          "--precision {} with --device {}: the CPU computes in float32", o.precision, name(o.device));
  const bool detector = o.model.starts_with("efficientdet") || o.model.starts_with("tf_efficientdet");
  Random random(1);
  const auto noise = std::make_shared<Random>(7);
  const auto make_images = [&] {
    return randn({o.batch, o.image_size, o.image_size, 3}, random.next_key(), o.precision, o.device);
  };
  if (!detector) {
    EfficientNetSpec spec = efficientnet_spec(o.model);
    spec.dropout = spec.drop_path = 0;
    if (o.image_size == 0) o.image_size = spec.image_size;
    if (o.classes == 0) o.classes = 1000;
    auto net = std::make_shared<EfficientNet>(spec, o.classes, random);
    const Tensor images = make_images();
    Tensor labels({o.batch}, DType::int32);
    for (int32_t& label : labels.span<int32_t>()) label = int32_t(random.below(o.classes));
    labels.move_to(o.device);
    model_ = net;
    loss_ = [net, images, labels, noise] {
      return softmax_cross_entropy(net->forward(images, *noise), labels);
    };
    forward_ = [net, images, noise] { return DetectorOutput{net->forward(images, *noise), {}}; };
  } else {
    EfficientDetSpec spec = efficientdet_spec(o.model);
    spec.backbone.drop_path = 0;
    if (spec.fpn.fusion != Fusion::sum) spec.fpn.fusion = o.fusion;
    if (o.image_size == 0) o.image_size = spec.image_size;
    if (o.classes == 0) o.classes = 90;
    auto net = std::make_shared<EfficientDet>(spec, o.classes, random);
    const Tensor images = make_images();
    anchors_ = generate_anchors(int(o.image_size), int(o.image_size), spec.anchors);
    const auto count = int64_t(anchors_.size());
    Tensor classes = full({o.batch, count}, background_target, DType::int32);
    Tensor boxes = zeros({o.batch, count, 4});
    double normalizer = 1;  // positives + 1
    for (int64_t i = 0; i < classes.numel(); ++i) {
      if (!random.chance(object_share)) continue;
      classes.data<int32_t>()[i] = int32_t(random.below(o.classes));
      for (int k = 0; k < 4; ++k) boxes.data<float>()[i * 4 + k] = random.normal();
      ++normalizer;
    }
    classes.move_to(o.device);
    boxes.move_to(o.device);
    model_ = net;
    loss_ = [net, images, classes, boxes, normalizer, noise] {
      const DetectorOutput output = net->forward(images, *noise);
      return focal_loss(output.class_logits, classes, normalizer) +
             50 * huber_loss(output.box_codes, boxes, normalizer);
    };
    forward_ = [net, images, noise] { return net->forward(images, *noise); };
  }
  model_->to(o.device);
  model_->set_recompute(o.recompute);
}

StepTiming::~StepTiming() = default;

int64_t StepTiming::parameter_count() const { return model_->parameter_count(); }

void StepTiming::set_training(bool training) {
  model_->set_training(training);
  model_->clear_gradients();
  release_cached_memory();
}

void StepTiming::step() {
  model_->clear_gradients();
  loss_().backward();
}

std::vector<double> StepTiming::training(int repeats) {
  set_training(true);
  if (options_.device == Device::cpu)
    return times_of(Device::cpu, repeats, [&] {
      step();
      update(*model_);
    });
  Optimizer optimizer = plain_sgd(*model_);
  const auto work = [&] {
    step();
    optimizer.apply();
  };
  cuda::Graph graph;
  for (int i = 0; i < 2; ++i) {
    optimizer.prepare(i, learning_rate);
    graph.warm_up(work);
  }
  optimizer.prepare(2, learning_rate);
  graph.capture(work);
  optimizer.prepare(2, learning_rate);
  std::vector<double> times = times_of(Device::cuda, repeats, [&] { graph.replay(); });
  model_->clear_gradients();
  return times;
}

std::vector<double> StepTiming::forward(int repeats) {
  set_training(false);
  const NoGrad no_grad;
  if (options_.device == Device::cpu) return times_of(Device::cpu, repeats, [&] { forward_(); });
  cuda::Graph graph;
  graph.warm_up([&] { forward_(); });
  graph.capture([&] { forward_(); });
  return times_of(Device::cuda, repeats, [&] { graph.replay(); });
}

std::vector<double> StepTiming::detection(int repeats) {
  require(!anchors_.empty(), "{} finds no boxes: --only detection is for detectors", options_.model);
  set_training(false);
  const NoGrad no_grad;
  const std::vector<ImageFrame> frames(size_t(options_.batch),
                                       {1, int(options_.image_size), int(options_.image_size)});
  if (options_.device == Device::cpu)
    return times_of(Device::cpu, repeats, [&] {
      const DetectorOutput output = forward_();
      detect_batch(output.class_logits.span<float>(), output.box_codes.span<float>(), anchors_,
                   int(options_.classes), frames);
    });
  const Tensor anchors = anchor_tensor(anchors_).to(Device::cuda);
  DetectorOutput output;
  const auto work = [&] {
    output = forward_();
    output = {cast(output.class_logits, DType::float32), cast(output.box_codes, DType::float32)};
  };
  cuda::Graph graph;
  graph.warm_up(work);
  output = {};
  graph.capture(work);
  return times_of(Device::cpu, repeats, [&] {  // the host waits for the boxes
    graph.replay();
    detect_on_device(output.class_logits, output.box_codes, anchors, frames);
  });
}

std::vector<cuda::LaunchTime> StepTiming::training_launches() {
  require(options_.device == Device::cuda, "launches are of --device cuda");
  set_training(true);
  Optimizer optimizer = plain_sgd(*model_);
  const auto work = [&] {
    step();
    optimizer.apply();
  };
  cuda::Graph graph;
  constexpr int warm_ups = 2;
  for (int i = 0; i < warm_ups && !cuda::is_simulated(); ++i) {
    optimizer.prepare(i, learning_rate);
    graph.warm_up(work);
  }
  optimizer.prepare(warm_ups, learning_rate);
  cuda::LaunchTimer timer;
  graph.capture([&] {
    work();
    timer.stop();
  });
  model_->clear_gradients();
  if (cuda::is_simulated()) return timer.launches();
  optimizer.prepare(warm_ups, learning_rate);
  constexpr int replays = 5;  // the last one's times stay
  for (int i = 0; i < replays; ++i) graph.replay();
  return timer.times();
}

std::vector<OpTime> StepTiming::training_ops() {
  set_training(true);
  step();
  OpTimes times;
  step();
  times.mark("(between)", true);
  if (options_.device == Device::cpu) update(*model_);
  times.mark("SGD update");
  return times.times();
}

}  // namespace fovea
