#include "exercises/support/milestone.h"

#include <fovea/core/autograd.h>
#include <fovea/core/parallel.h>
#include <fovea/models/nms.h>
#include <fovea/ops/arithmetic.h>
#include <fovea/ops/detection_loss.h>
#include <fovea/train/data/synth/synth.h>
#include <fovea/train/detection/detection_batches.h>
#include <fovea/train/detection/detection_recipe.h>
#include <fovea/train/evaluation/coco_evaluation.h>
#include <fovea/train/loop/resolve_config.h>
#include <fovea/train/optim/ema.h>
#include <fovea/train/optim/optimizer.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <optional>

#include "exercises/support/steps.h"

namespace fovea::learn {
namespace {

namespace fs = std::filesystem;

// ---- data: shapes drawn into a folder that is gone at the end

class DrawnShapes {
 public:
  DrawnShapes() {
    std::string name = (fs::temp_directory_path() / "fovea-shapes-XXXXXX").string();
    require(::mkdtemp(name.data()) != nullptr, "cannot make a folder {}", name);
    folder_ = name;
    synthesize_dataset(folder_ + "/shapes",
                       {.train_images = 300, .val_images = 60, .width = 128, .height = 128});
  }
  ~DrawnShapes() {
    std::error_code ignored;
    fs::remove_all(folder_, ignored);
  }
  DrawnShapes(const DrawnShapes&) = delete;
  DrawnShapes& operator=(const DrawnShapes&) = delete;
  DetectionDataset split(const char* name) const { return open_dataset(folder_ + "/shapes", name); }

 private:
  std::string folder_;
};

TrainConfig training_config() {
  TrainConfig config;
  config.model = "efficientdet_d-3";
  config.image_size = "128";
  config.anchor_scale = milestone_anchor_scale;
  config.batch_size = 4;
  config.steps = milestone_steps;
  config.learning_rate = milestone_rate;
  return config;
}

// ---- the student's losses as an op

// Sums f(i), a loss and its derivative, over the n numbers of x, / normalizer.
Tensor summed(const Tensor& x, double normalizer,
              const std::function<std::pair<double, double>(int64_t i, double x)>& f) {
  const Tensor derivative = empty_like(x);
  const auto numbers = x.span<float>(), derivatives = derivative.span<float>();
  double sum = 0;
  for (int64_t i = 0; i < x.numel(); ++i) {
    const auto [loss, slope] = f(i, double(numbers[size_t(i)]));
    sum += loss;
    derivatives[size_t(i)] = float(slope / normalizer);
  }
  return record(full({}, sum / normalizer), "own_loss", {x},
                [derivative](const Tensor& dy) -> Tensors { return {dy.item() * derivative}; });
}

Tensor own_class_loss(const OwnParts& parts, const Tensor& logits, const Tensor& targets, double normalizer) {
  const int64_t classes = logits.size(-1);
  const auto labels = targets.span<int32_t>();
  return summed(logits, normalizer, [&, classes](int64_t i, double x) {
    const bool positive = labels[size_t(i / classes)] == i % classes;
    return std::pair{parts.class_loss(x, positive), parts.class_loss_derivative(x, positive)};
  });
}

// Over the anchors that have an object: those whose codes are not all 0.
Tensor own_box_loss(const OwnParts& parts, const Tensor& codes, const Tensor& targets, const Tensor& labels,
                    double normalizer) {
  const auto truths = targets.span<float>();
  const auto classes = labels.span<int32_t>();
  return summed(codes, 4 * normalizer, [&](int64_t i, double x) {
    if (classes[size_t(i / 4)] < 0) return std::pair{0.0, 0.0};
    return parts.box_loss(x, double(truths[size_t(i)]));
  });
}

// ---- the student's anchors

::Box own(const fovea::Box& b) { return {b.ymin, b.xmin, b.ymax, b.xmax}; }

fovea::Box theirs(const ::Box& b) { return {float(b.y0), float(b.x0), float(b.y1), float(b.x1)}; }

std::vector<::Box> own_anchors(const OwnParts& parts, int size) {
  std::vector<::Box> anchors;
  for (int level = 3; level <= 7; ++level)
    for (const ::Box& anchor : parts.anchors_of_level(size >> level, double(1 << level)))
      anchors.push_back(anchor);
  return anchors;
}

// Writes the targets of one image as AnchorMatcher does; returns how many anchors have an object.
int64_t own_targets(const OwnParts& parts, const std::vector<::Box>& anchors, const PreparedImage& image,
                    std::span<int32_t> classes, std::span<float> codes) {
  std::vector<std::vector<double>> iou(anchors.size());
  for (size_t a = 0; a < anchors.size(); ++a)
    for (const fovea::Box& box : image.boxes) iou[a].push_back(double(fovea::iou(theirs(anchors[a]), box)));
  const std::vector<int> matched = parts.match(iou);
  require(matched.size() == anchors.size(), "match: {} anchors, and {} answers", anchors.size(),
          matched.size());
  std::fill(codes.begin(), codes.end(), 0.0f);
  int64_t positives = 0;
  for (size_t a = 0; a < anchors.size(); ++a) {
    classes[a] = matched[a] < 0 ? background_target : image.labels.at(size_t(matched[a]));
    if (matched[a] < 0) continue;
    ++positives;
    const std::vector<double> code = parts.encode(anchors[a], own(image.boxes[size_t(matched[a])]));
    require(code.size() == 4, "encode: a code of {} numbers in place of 4", code.size());
    for (size_t k = 0; k < 4; ++k) codes[a * 4 + k] = float(code[k]);
  }
  return positives;
}

std::vector<Detection> own_detections(const OwnParts& parts, const std::vector<::Box>& anchors,
                                      const DetectorOutput& output, int64_t classes) {
  const auto logits = output.class_logits.span<float>(), codes = output.box_codes.span<float>();
  std::vector<Detection> found;
  for (int64_t c = 0; c < classes; ++c) {
    std::vector<::Box> boxes;
    std::vector<double> scores;
    for (size_t a = 0; a < anchors.size(); ++a) {
      const double score = 1 / (1 + std::exp(-double(logits[a * size_t(classes) + size_t(c)])));
      if (score < 0.05) continue;
      boxes.push_back(
          parts.decode(anchors[a], {codes.begin() + long(a) * 4, codes.begin() + long(a) * 4 + 4}));
      scores.push_back(score);
    }
    for (int kept : parts.suppress(boxes, scores)) {
      const ::Box& b = boxes.at(size_t(kept));
      found.push_back({theirs(b), float(scores[size_t(kept)]), int(c)});
    }
  }
  std::stable_sort(found.begin(), found.end(),
                   [](const auto& a, const auto& b) { return a.score > b.score; });
  return found;
}

// ---- the student's optimizer: all parameters in double, and their float copies that the network computes
// with

class OwnOptimizer {
 public:
  OwnOptimizer(const OwnParts& parts, const Module& model) : parts_(parts), parameters_(model.parameters()) {
    for (const NamedTensor& p : parameters_) {
      weights_.push_back(p.tensor.values());
      momentum_.emplace_back(weights_.back().size());
      variance_.emplace_back(weights_.back().size());
    }
    averages_ = weights_;
  }
  void step(int64_t step, double rate) {
    for (size_t i = 0; i < parameters_.size(); ++i) {
      const Tensor& tensor = parameters_[i].tensor;
      if (!tensor.grad().defined()) continue;
      parts_.update(weights_[i], momentum_[i], variance_[i], tensor.grad().values(), step, rate);
      if (parts_.average) parts_.average(averages_[i], weights_[i], step);
      set(tensor, weights_[i]);
    }
  }
  void use_averages() {
    if (!parts_.average) return;
    for (size_t i = 0; i < parameters_.size(); ++i) set(parameters_[i].tensor, averages_[i]);
  }

 private:
  static void set(const Tensor& tensor, const std::vector<double>& values) {
    std::copy(values.begin(), values.end(), tensor.span<float>().begin());
  }

  const OwnParts& parts_;
  std::vector<NamedTensor> parameters_;
  std::vector<std::vector<double>> weights_, momentum_, variance_, averages_;
};

double ap50(const OwnParts& parts, const std::vector<::Box>& anchors, Detector& detector,
            const DetectionDataset& dataset) {
  const NoGrad no_grad;
  std::vector<std::vector<LabelledBox>> truths;
  std::vector<std::vector<Detection>> detections;
  ImageCache images(files_of(dataset), int64_t(64) << 20);
  for (size_t i = 0; i < dataset.images.size(); ++i) {
    const auto image = images.get(i);
    const Tensor pixels({1, detector.height(), detector.width(), 3});
    const PreparedImage prepared =
        prepare_for_evaluation(*image, dataset.images[i].annotations, detector.height(), detector.width(),
                               InputImage(pixels.span<float>(), detector.model().normalization()));
    auto& truth = truths.emplace_back();
    for (size_t k = 0; k < prepared.boxes.size(); ++k)
      truth.push_back({prepared.boxes[k], prepared.labels[k]});
    if (anchors.empty())
      detections.push_back(detector.detect(pixels, std::vector{prepared.frame})[0]);
    else
      detections.push_back(
          own_detections(parts, anchors, detector.outputs(pixels), int64_t(detector.class_names().size())));
  }
  return evaluate_coco(truths, detections, int(detector.class_names().size())).ap50;
}

}  // namespace

double train_on_shapes(const OwnParts& parts) {
  const DrawnShapes shapes;
  const DetectionDataset training = shapes.split("train"), validation = shapes.split("val");
  const TrainConfig config = resolve_config(training_config(), int64_t(training.images.size()));
  Detector detector(config, training.class_names);
  DetectionBatches batches(config, training, detector);
  const Recipe recipe = detection_recipe(detector.shared_model(), detector.casts(), config);
  const std::vector<::Box> anchors =
      parts.anchors_of_level ? own_anchors(parts, detector.height()) : std::vector<::Box>();
  require(anchors.empty() || anchors.size() == detector.anchors().size(),
          "anchors_of_level: {} anchors in all, expected {}", anchors.size(), detector.anchors().size());

  const WarmupCosine schedule{milestone_rate, 50, milestone_steps};
  AdamW optimizer(detector.model().parameters(),
                  {.learning_rate = milestone_rate, .beta2 = 0.99, .weight_decay = 4e-5, .clip_norm = 10});
  std::optional<OwnOptimizer> own_optimizer;
  std::optional<Ema> ema;
  if (parts.update) own_optimizer.emplace(parts, detector.model());
  if (!parts.update) ema.emplace(detector.model(), 0.98);

  detector.model().set_training(true);
  for (int64_t step = 0; step < milestone_steps; ++step) {
    Batch batch;
    if (anchors.empty()) {
      batch = batches.make(step);
    } else {
      const int64_t n = config.batch_size, count = int64_t(anchors.size());
      const InputBatch input = detector.input(n);
      const std::vector<PreparedImage> prepared = batches.images(step, input);
      const Tensor classes({n, count}, DType::int32), codes({n, count, 4});
      int64_t positives = 0;
      for (size_t k = 0; k < prepared.size(); ++k)
        positives += own_targets(parts, anchors, prepared[k],
                                 classes.span<int32_t>().subspan(k * anchors.size(), anchors.size()),
                                 codes.span<float>().subspan(k * anchors.size() * 4, anchors.size() * 4));
      batch = {input.pixels, {classes, codes, full({}, double(positives + 1))}};
    }
    detector.model().clear_gradients();
    const Tensors outputs = recipe.forward(batch.images);
    const double normalizer = batch.targets[2].item();
    const Tensor class_loss = parts.class_loss
                                  ? own_class_loss(parts, outputs[0], batch.targets[0], normalizer)
                                  : focal_loss(outputs[0], batch.targets[0], normalizer);
    const Tensor box_loss =
        parts.box_loss ? own_box_loss(parts, outputs[1], batch.targets[1], batch.targets[0], normalizer)
                       : huber_loss(outputs[1], batch.targets[1], normalizer);
    const Tensor loss = class_loss + 50.0 * box_loss;
    expect(std::isfinite(loss.item()), "the loss is {} at step {}", loss.item(), step);
    if (step % 300 == 0) note(fmt::format("step {:>4}: loss {:.3f}", step, loss.item()));
    loss.backward();
    const double rate = parts.learning_rate ? parts.learning_rate(step) : schedule(step);
    if (own_optimizer)
      own_optimizer->step(step, rate);
    else
      optimizer.update(step, rate);
    if (ema) ema->update(step);
  }
  if (own_optimizer) own_optimizer->use_averages();
  if (ema) ema->swap();
  detector.model().set_training(false);
  const double result = ap50(parts, anchors, detector, validation);
  note(fmt::format("AP50 on {} images that were not trained on: {:.3f}", validation.images.size(), result));
  return result;
}

}  // namespace fovea::learn
