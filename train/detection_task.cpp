#include "train/detection_task.h"

#include "core/error.h"
#include "ops/arithmetic.h"
#include "ops/detection_loss.h"
#include "train/streams.h"

namespace fovea {

DetectionBatches::DetectionBatches(const TrainConfig& config, const DetectionDataset& dataset,
                                   const Detector& detector)
    : config_(config),
      dataset_(dataset),
      detector_(detector),
      images_(files_of(dataset), config.cache_mb << 20),
      sampler_(int64_t(dataset.images.size()),
               [seed = uint64_t(config.seed)](int64_t epoch) {
                 return Random(seed, stream_of(Stream::order, epoch));
               }),
      matcher_(detector.anchors()) {
  for (const LabelledImage& image : dataset.images)
    truth_room_ = std::max(truth_room_, int64_t(image.annotations.size()));
}

DetectionBatch DetectionBatches::make(int64_t step) {
  const int64_t n = config_.batch_size, height = detector_.height(), width = detector_.width();
  const int64_t anchors = matcher_.num_anchors(), pixels = height * width * 3;
  DetectionBatch batch{Tensor({n, height, width, 3}), {}, {}, {}, {}};
  std::vector<PreparedImage> prepared;
  const std::vector<int64_t> chosen = sampler_.images(step * n, n);
  for (int64_t k = 0; k < n; ++k) {
    const size_t index = size_t(chosen[size_t(k)]);
    Random random(uint64_t(config_.seed), stream_of(Stream::augmentation, step * n + k));
    prepared.push_back(prepare_for_training(
        *images_.get(index), dataset_.images[index].annotations, int(height), int(width),
        {config_.horizontal_flip, config_.vertical_flip, config_.scale_min, config_.scale_max}, random,
        batch.images.span<float>().subspan(size_t(k * pixels), size_t(pixels))));
  }
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
      validation_images_(files_of(validation_), config.cache_mb << 19),
      images_(detector_.device()),
      truth_boxes_(detector_.device()),
      truth_labels_(detector_.device()),
      noise_step_(detector_.device()) {
  if (detector_.device() == Device::cpu) return;
  device_matcher_.emplace(detector_.anchors());
  const int64_t n = config_.batch_size, anchors = device_matcher_->num_anchors();
  targets_ = {Tensor({n, anchors}, DType::int32, Device::cuda),
              Tensor({n, anchors, 4}, DType::float32, Device::cuda),
              Tensor({}, DType::float32, Device::cuda)};
}

DetectionTask::~DetectionTask() = default;

void DetectionTask::start(int64_t first, int64_t end) {
  prefetch_ =
      std::make_unique<Prefetch<DetectionBatch>>(int(config_.workers), size_t(config_.workers) + 2, first,
                                                 end, [this](int64_t step) { return batches_.make(step); });
}

void DetectionTask::load(int64_t step) {
  const DetectionBatch batch = prefetch_->next();
  images_.load(batch.images);
  noise_step_.load(step_tensor(step));
  if (device_matcher_) {
    truth_boxes_.load(batch.truths.boxes);
    truth_labels_.load(batch.truths.labels);
  } else {
    targets_ = {batch.class_targets, batch.box_targets, full({}, double(batch.counts.positives) + 1)};
  }
}

const DetectionTask::Targets& DetectionTask::matched() {
  if (device_matcher_)
    device_matcher_->match_batch({truth_boxes_.tensor(), truth_labels_.tensor()}, targets_.classes,
                                 targets_.boxes, targets_.normalizer);
  return targets_;
}

std::vector<NamedTensor> DetectionTask::compute() {
  Random noise = noise_of(config_, noise_step_.tensor());
  DetectorOutput output = detector_.forward(images_.tensor(), noise);
  const Targets& targets = matched();
  const Tensor class_loss = focal_loss(output.class_logits, targets.classes, targets.normalizer,
                                       {config_.focal_alpha, config_.focal_gamma, config_.label_smoothing});
  const Tensor box_loss = huber_loss(output.box_codes, targets.boxes, targets.normalizer);
  const Tensor loss = class_loss + config_.box_loss_weight * box_loss;
  output = {};  // the tape has what it needs, and gives it up on the way
  loss.backward();
  return {{"train/loss", loss.detach()},
          {"train/class_loss", class_loss.detach()},
          {"train/box_loss", box_loss.detach()}};
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
