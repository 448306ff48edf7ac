#include "train/detection/detection_task.h"

#include "core/error.h"
#include "core/processes.h"
#include "cuda/runtime/peers.h"
#include "ops/arithmetic.h"
#include "ops/detection_loss.h"
#include "train/loop/random_stream.h"

namespace fovea {
namespace {

// How often each image is shown in an epoch; empty: once.
std::vector<double> repeats_of(const DetectionDataset& dataset, double threshold) {
  if (threshold == 0) return {};
  std::vector<std::vector<int>> labels;
  for (const LabelledImage& image : dataset.images) {
    labels.emplace_back();
    for (const Annotation& object : image.annotations)
      if (!object.crowd) labels.back().push_back(object.label);
  }
  return repeat_factors(labels, threshold);
}

}  // namespace

DetectionBatches::DetectionBatches(const TrainConfig& config, const DetectionDataset& dataset,
                                   const Detector& detector)
    : config_(config),
      share_(share_of_batch(config.batch_size)),
      dataset_(dataset),
      detector_(detector),
      images_(files_of(dataset), config.cache_mb << 20),
      sampler_(
          int64_t(dataset.images.size()),
          [seed = uint64_t(config.seed)](int64_t epoch) {
            return Random(seed, stream_of(RandomStream::order, epoch));
          },
          repeats_of(dataset, config.repeat_threshold)),
      matcher_(detector.anchors()) {
  for (const LabelledImage& image : dataset.images)
    truth_room_ = std::max(truth_room_, int64_t(image.annotations.size()));
  if (config.mosaic > 0) truth_room_ *= 4;
}

PreparedImage DetectionBatches::prepare(size_t index, Random& random, std::span<float> pixels) {
  const AugmentOptions options{config_.horizontal_flip,
                               config_.vertical_flip,
                               config_.scale_min,
                               config_.scale_max,
                               config_.crop,
                               {config_.brightness, config_.contrast, config_.saturation, config_.hue}};
  const bool mosaic = config_.mosaic > 0 && random.chance(config_.mosaic);
  std::array<size_t, 4> chosen{index};
  if (mosaic)
    for (size_t i = 1; i < 4; ++i) chosen[i] = size_t(sampler_.any(random));
  std::array<std::shared_ptr<const Image>, 4> images;
  std::array<LabelledPicture, 4> pictures;
  for (size_t i = 0; i < (mosaic ? 4u : 1u); ++i) {
    images[i] = images_.get(chosen[i]);
    pictures[i] = {images[i].get(), dataset_.images[chosen[i]].annotations};
  }
  if (mosaic) return prepare_mosaic(pictures, detector_.height(), detector_.width(), options, random, pixels);
  return prepare_for_training(*images[0], pictures[0].annotations, detector_.height(), detector_.width(),
                              options, random, pixels);
}

std::vector<PreparedImage> DetectionBatches::pictures(int64_t index, const Tensor& images) {
  const int64_t first = index * config_.batch_size + share_.first;
  const size_t pixels = size_t(detector_.height()) * size_t(detector_.width()) * 3;
  const std::vector<int64_t> chosen = sampler_.images(first, share_.count);
  std::vector<PreparedImage> prepared;
  for (int64_t k = 0; k < share_.count; ++k) {
    Random random(uint64_t(config_.seed), stream_of(RandomStream::augmentation, first + k));
    prepared.push_back(
        prepare(size_t(chosen[size_t(k)]), random, images.span<float>().subspan(size_t(k) * pixels, pixels)));
  }
  return prepared;
}

DetectionBatch DetectionBatches::make(int64_t index) {
  const int64_t n = share_.count, anchors = matcher_.num_anchors();
  DetectionBatch batch{empty_images(), {}, {}, {}, {}};
  const std::vector<PreparedImage> prepared = pictures(index, batch.images);
  std::vector<MatchTruths> truths;
  for (const PreparedImage& image : prepared) truths.push_back({image.boxes, image.labels, image.crowds});
  if (detector_.device() == Device::cuda) {
    batch.truths = pad_truths(truths, truth_room_);
    return batch;
  }
  batch.class_targets = Tensor({n, anchors}, DType::int32);
  batch.box_targets = Tensor({n, anchors, 4});
  for (size_t k = 0; k < truths.size(); ++k)
    batch.counts += matcher_.match(
        truths[k], batch.class_targets.span<int32_t>().subspan(k * size_t(anchors), size_t(anchors)),
        batch.box_targets.span<float>().subspan(k * size_t(anchors) * 4, size_t(anchors) * 4));
  return batch;
}

DetectionTask::DetectionTask(const TrainConfig& config, DetectionDataset train, DetectionDataset validation)
    : config_(config),
      train_(std::move(train)),
      validation_(std::move(validation)),
      detector_(config_, train_.class_names),
      batches_(config_, train_, detector_),
      validation_images_(files_of(validation_), config.cache_mb << 19) {
  for (int64_t k = 0; k < config_.accumulate; ++k)
    inputs_.push_back(std::make_unique<Inputs>(detector_.device()));
  if (detector_.device() == Device::cpu) return;
  device_matcher_.emplace(detector_.anchors());
  const int64_t n = share_of_batch(config_.batch_size).count, anchors = device_matcher_->num_anchors();
  for (auto& in : inputs_) {
    in->class_targets = Tensor({n, anchors}, DType::int32, Device::cuda);
    in->box_targets = Tensor({n, anchors, 4}, DType::float32, Device::cuda);
    in->positives_and_1 = Tensor({}, DType::float32, Device::cuda);
  }
}

DetectionTask::~DetectionTask() = default;

void DetectionTask::start(int64_t first, int64_t end) {
  prefetch_ = std::make_unique<Prefetch<DetectionBatch>>(
      int(config_.workers), size_t(config_.workers) + 2, first * config_.accumulate, end * config_.accumulate,
      [this](int64_t index) { return batches_.make(index); });
}

void DetectionTask::load(int64_t step) {
  int64_t positives = 0;
  for (size_t k = 0; k < inputs_.size(); ++k) {
    const DetectionBatch batch = prefetch_->next();
    Inputs& in = *inputs_[k];
    in.images.load(batch.images);
    in.noise_step.load(step_tensor(step * config_.accumulate + int64_t(k)));
    if (device_matcher_) {
      in.truth_boxes.load(batch.truths.boxes);
      in.truth_labels.load(batch.truths.labels);
    } else {
      in.class_targets = batch.class_targets;
      in.box_targets = batch.box_targets;
      positives += batch.counts.positives;
    }
  }
  if (!device_matcher_) normalizer_ = full({}, sum_over_processes({double(positives)})[0] + 1);
}

Tensor DetectionTask::match() {
  if (!device_matcher_) return normalizer_;
  Tensor normalizer;
  for (auto& in : inputs_) {
    device_matcher_->match_batch({in->truth_boxes.tensor(), in->truth_labels.tensor()}, in->class_targets,
                                 in->box_targets, in->positives_and_1);
    normalizer = normalizer.defined() ? normalizer + in->positives_and_1 - 1 : in->positives_and_1;
  }
  if (!cuda::peers()) return normalizer;
  sum_tensors({normalizer});  // of positives + 1 each
  return normalizer - double(cuda::peers()->count() - 1);
}

std::vector<NamedTensor> DetectionTask::compute() {
  std::vector<NamedTensor> losses;
  const Tensor normalizer = match();
  for (auto& in : inputs_) {
    Random noise = noise_of(config_, in->noise_step.tensor());
    DetectorOutput output = detector_.forward(in->images.tensor(), noise);
    const Tensor class_loss = focal_loss(output.class_logits, in->class_targets, normalizer,
                                         {config_.focal_alpha, config_.focal_gamma, config_.label_smoothing});
    const Tensor box_loss = huber_loss(output.box_codes, in->box_targets, normalizer);
    const Tensor loss = class_loss + config_.box_loss_weight * box_loss;
    output = {};  // the tape has what it needs, and gives it up on the way
    loss.backward();
    add_losses(losses, {{"train/loss", loss.detach()},
                        {"train/class_loss", class_loss.detach()},
                        {"train/box_loss", box_loss.detach()}});
  }
  return losses;
}

NamedValues DetectionTask::evaluate() {
  const auto detections = detect_dataset(detector_, validation_, validation_images_, int(config_.workers));
  const CocoFigures figures = evaluate_coco(validation_, scored_boxes(detections));
  NamedValues values;
  for (size_t i = 0; i < figures.values().size(); ++i)
    values.emplace_back(fmt::format("validation/{}", CocoFigures::names()[i]), figures.values()[i]);
  return values;
}

}  // namespace fovea
