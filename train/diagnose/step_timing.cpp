#include "train/diagnose/step_timing.h"

#include <filesystem>

#include "core/error.h"
#include "cuda/runtime/device.h"
#include "cuda/runtime/graph.h"
#include "models/anchors.h"
#include "models/efficientdet.h"
#include "ops/detection_loss.h"
#include "ops/shape_ops.h"
#include "train/diagnose/timing.h"
#include "train/loop/model_file.h"
#include "train/optim/flat_parameters.h"
#include "train/optim/optimizer.h"
#include "train/run/task_kind.h"

namespace fovea {
namespace {

constexpr double learning_rate = 0.001;
constexpr double object_share = 0.005;  // of the anchors

// Plain SGD: the update's memory traffic, on all threads, like the optimizer's.
void update(const Module& model) {
  const std::vector<NamedTensor> parameters = model.parameters();
  FlatParameters(parameters).parallel([&](size_t p, int64_t begin, int64_t end) {
    float* w = parameters[p].tensor.data<float>();
    const float* g = parameters[p].tensor.grad().data<float>();
#pragma omp simd
    for (int64_t i = begin; i < end; ++i) w[i] -= float(learning_rate) * g[i];
  });
}

Optimizer plain_sgd(const Module& model) {
  return {model.parameters(), {.momentum = 0, .weight_decay = 0, .clip_norm = 0}};
}

// Labels of images: any class. Targets of anchors: one in 200 is an object, of any class, at any box code.
void make_up_targets(const Tensors& targets, int64_t classes, Random& random) {
  const auto labels = targets.front().span<int32_t>();
  if (targets.size() == 1) {
    for (int32_t& label : labels) label = int32_t(random.below(classes));
    return;
  }
  const auto codes = targets[1].span<float>();
  int64_t positives = 0;
  for (size_t i = 0; i < labels.size(); ++i) {
    const bool object = random.chance(object_share);
    labels[i] = object ? int32_t(random.below(classes)) : background_target;
    for (size_t k = 4 * i; k < 4 * i + 4; ++k) codes[k] = object ? random.normal() : 0;
    positives += object;
  }
  targets[2].fill(double(positives + 1));
}

}  // namespace

StepTiming::StepTiming(const StepOptions& options) : options_(options) {
  StepOptions& o = options_;
  const auto [asked_height, asked_width] = o.image_size;
  require(o.batch >= 1 && asked_height >= 0 && asked_width >= 0 && o.classes >= 0,
          "a batch of {} images of {} x {} px with {} classes cannot be timed: give a batch of at least 1",
          o.batch, asked_height, asked_width, o.classes);
  require(o.device == Device::cuda || o.precision == DType::float32,
          "`precision` {} with `device` {}: the CPU computes in float32", o.precision, name(o.device));
  TrainConfig config;
  if (std::filesystem::is_regular_file(o.model)) {
    config = read_file_options();
  } else {
    config.task = task_of_model(o.model);
    config.model = o.model;
    config.image_size = fmt::format("{}x{}", asked_height, asked_width);
    config.fusion = o.fusion;
  }
  config.batch_size = o.batch;
  config.device = name(o.device);
  config.precision = name(o.precision);
  config.recompute = o.recompute;
  if (o.classes == 0) o.classes = task_kind(config.task).default_classes;
  recipe_ = make_recipe(config, o.classes, false);
  Random random(1);
  batch_ = recipe_.empty_batch(Device::cpu);
  const int height = int(batch_.images.size(1)), width = int(batch_.images.size(2));
  o.image_size = {height, width};
  batch_.images = randn(batch_.images.shape(), random.next_random_key(), o.precision, o.device);
  if (const auto* detector = dynamic_cast<const EfficientDet*>(recipe_.model.get()))
    anchors_ = generate_anchors(height, width, detector->spec().anchors);
  frames_.assign(size_t(o.batch), {1, height, width});
  make_up_targets(batch_.targets, o.classes, random);
  for (Tensor& target : batch_.targets) target.move_to(o.device);
}

// The settings of the file that `model` names, which it replaces by the model's name.
TrainConfig StepTiming::read_file_options() {
  StepOptions& o = options_;
  require(o.image_size == std::array{0, 0} && o.classes == 0 && o.fusion == "default",
          "{} has its own image size, classes and fusion: leave out `image_size`, `classes` and `fusion`",
          o.model);
  const ModelFile file(o.model);
  if (file.is_quantized()) {
    require(o.device == Device::cpu && !o.recompute,
            "{} is quantised, which is for predictions on the CPU: leave out `device` and `recompute`",
            o.model);
    quantized_ = std::make_shared<const Detector>(file);
  }
  TrainConfig config = file.state().config;
  o.model = config.model;
  o.classes = int64_t(file.state().class_names.size());
  o.fusion = config.fusion;
  return config;
}

int64_t StepTiming::parameter_count() const { return recipe_.model->parameter_count(); }

void StepTiming::set_training(bool training) {
  require(!training || !quantized_,
          "a quantised network has no training step: only its forward pass and its detection can be timed");
  recipe_.model->set_training(training);
  recipe_.model->clear_gradients();
  release_cached_memory();
}

Tensors StepTiming::outputs() {
  if (quantized_) {
    const DetectorOutput output = quantized_->outputs(batch_.images);
    return {output.class_logits, output.box_codes};
  }
  const ParameterCasts::Scope scope(recipe_.casts);
  return recipe_.forward(batch_.images);
}

void StepTiming::step() {
  recipe_.model->clear_gradients();
  const ParameterCasts::Scope scope(recipe_.casts);
  const std::vector<NamedTensor> losses = recipe_.losses_of(batch_);
  losses.front().tensor.backward();
}

std::vector<double> StepTiming::training(int repeats) {
  set_training(true);
  if (options_.device == Device::cpu)
    return times_of(Device::cpu, repeats, [&] {
      step();
      update(*recipe_.model);
    });
  Optimizer optimizer = plain_sgd(*recipe_.model);
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
  recipe_.model->clear_gradients();
  return times;
}

std::vector<double> StepTiming::forward(int repeats) {
  set_training(false);
  const NoGrad no_grad;
  if (options_.device == Device::cpu) return times_of(Device::cpu, repeats, [&] { outputs(); });
  cuda::Graph graph;
  graph.warm_up([&] { outputs(); });
  graph.capture([&] { outputs(); });
  return times_of(Device::cuda, repeats, [&] { graph.replay(); });
}

CapturedDetection StepTiming::captured_detection() {
  require(!anchors_.empty(), "{} is not a detector: detection can only be timed for detectors",
          options_.model);
  set_training(false);
  const auto network = [this](const Tensor& images) {
    const ParameterCasts::Scope scope(recipe_.casts);
    const Tensors outputs = recipe_.forward(images);
    return DetectorOutput{outputs[0], outputs[1]};
  };
  return {network, anchor_tensor(anchors_).to(Device::cuda), options_.classes, batch_.images.shape(),
          DType::float32};
}

std::vector<double> StepTiming::detection(int repeats) {
  require(!anchors_.empty(), "{} is not a detector: detection can only be timed for detectors",
          options_.model);
  set_training(false);
  const NoGrad no_grad;
  if (options_.device == Device::cpu)
    return times_of(Device::cpu, repeats, [&] {
      const Tensors output = outputs();
      detect_batch(output[0].span<float>(), output[1].span<float>(), anchors_, int(options_.classes),
                   frames_);
    });
  CapturedDetection detection = captured_detection();
  const Tensor images = cast(batch_.images, DType::float32);
  // Timed by the host's clock, since the host waits for the boxes.
  return times_of(Device::cpu, repeats, [&] { detection.detect(images, frames_); });
}

// The launches of `work`, in a capture. `prepare` precedes each of its runs, the warm-ups and the replays;
// the times are those of the last replay.
std::vector<cuda::LaunchTime> StepTiming::launches_of(const std::function<void()>& work,
                                                      const std::function<void()>& prepare) const {
  require(options_.device == Device::cuda, "launches are recorded on `device` cuda");
  cuda::Graph graph;
  constexpr int warm_ups = 2, replays = 5;
  for (int i = 0; i < warm_ups && !cuda::is_simulated(); ++i) {
    prepare();
    graph.warm_up(work);
  }
  prepare();
  cuda::LaunchTimer timer;
  graph.capture([&] {
    work();
    timer.stop();
  });
  if (cuda::is_simulated()) return timer.launches();
  prepare();
  for (int i = 0; i < replays; ++i) graph.replay();
  return timer.times();
}

std::vector<cuda::LaunchTime> StepTiming::training_launches() {
  set_training(true);
  Optimizer optimizer = plain_sgd(*recipe_.model);
  const std::vector<cuda::LaunchTime> launches = launches_of(
      [&] {
        step();
        optimizer.apply();
      },
      [&] { optimizer.prepare(0, learning_rate); });
  recipe_.model->clear_gradients();
  return launches;
}

std::vector<cuda::LaunchTime> StepTiming::detection_launches() {
  CapturedDetection detection = captured_detection();
  detection.load(cast(batch_.images, DType::float32), frames_);
  return launches_of([&] { detection.compute(); }, [] {});
}

namespace {
std::vector<cuda::KernelScore> scores_of(Device device, const std::function<void()>& work) {
  require(device == Device::cuda && cuda::ScoreKernels::possible(),
          "kernels are scored on a simulated device: choose `device` cuda and a build for the simulator "
          "(cmake --preset release)");
  const cuda::ScoreKernels scoring;
  work();
  return scoring.scores();
}
}  // namespace

std::vector<cuda::KernelScore> StepTiming::training_scores() {
  set_training(true);
  Optimizer optimizer = plain_sgd(*recipe_.model);
  optimizer.prepare(0, learning_rate);
  return scores_of(options_.device, [&] {
    step();
    optimizer.apply();
  });
}

std::vector<cuda::KernelScore> StepTiming::forward_scores() {
  set_training(false);
  const NoGrad no_grad;
  return scores_of(options_.device, [&] { outputs(); });
}

std::vector<OpTime> StepTiming::training_ops() {
  set_training(true);
  step();
  OpTimes times;
  step();
  times.mark("(between)", true);
  if (options_.device == Device::cpu) update(*recipe_.model);
  times.mark("SGD update");
  return times.times();
}

}  // namespace fovea
