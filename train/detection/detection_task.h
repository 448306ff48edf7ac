#pragma once
#include <memory>
#include <optional>

#include "train/data/augment/augment.h"
#include "train/data/prefetch.h"
#include "train/data/sampler.h"
#include "train/detection/detector.h"
#include "train/detection/matching.h"
#include "train/loop/trainer.h"
#include "train/optim/device_input.h"
#include "train/parallel/data_parallel.h"

namespace fovea {

// What one step learns from.
struct DetectionBatch {
  Tensor images;  // (N, H, W, 3), normalised
  // For a network on the CPU, matched already:
  Tensor class_targets;  // int32 (N, anchors)
  Tensor box_targets;    // (N, anchors, 4)
  MatchCounts counts;
  // For one on CUDA, which matches anchors itself:
  PaddedTruths truths;
};

// The batches of a training, each a pure function of the seed and its number: those of a step are
// step * accumulate and the next ones. May be asked from many threads.
class DetectionBatches {
 public:
  DetectionBatches(const TrainConfig& config, const DetectionDataset& dataset, const Detector& detector);
  DetectionBatch make(int64_t index);
  // The pictures of a batch alone, into images (N, H, W, 3), with their boxes in pixels of these.
  std::vector<PreparedImage> pictures(int64_t index, const Tensor& images);
  Tensor empty_images() const { return Tensor({share_.count, detector_.height(), detector_.width(), 3}); }
  int64_t samples_per_epoch() const { return sampler_.samples_per_epoch(); }

 private:
  PreparedImage prepare(size_t index, Random& random, std::span<float> pixels);

  const TrainConfig& config_;
  BatchShare share_;
  const DetectionDataset& dataset_;
  const Detector& detector_;
  ImageCache images_;
  Sampler sampler_;
  AnchorMatcher matcher_;
  int64_t truth_room_ = 1;  // objects and crowd regions that an image can have
};

// Learning to detect: focal loss over classes + box_loss_weight * Huber loss over boxes (EfficientDet,
// section 5.1), both divided by the number of positive anchors in the step's images + 1. Accumulated batches
// are so divided by the positives of all of them, which are matched before the first forward pass: with batch
// norm frozen their gradient is that of one large batch of the same images.
class DetectionTask : public Task {
 public:
  DetectionTask(const TrainConfig& config, DetectionDataset train, DetectionDataset validation);
  ~DetectionTask() override;

  Module& model() override { return detector_.model(); }
  Detector& detector() { return detector_; }
  DetectionBatches& batches() { return batches_; }
  int64_t training_images() const override { return int64_t(train_.images.size()); }
  void start(int64_t first, int64_t end) override;
  void load(int64_t step) override;
  std::vector<NamedTensor> compute() override;
  NamedValues evaluate() override;
  double seconds_waited() const override { return prefetch_ ? prefetch_->seconds_waited() : 0; }

 private:
  TrainConfig config_;
  DetectionDataset train_, validation_;
  Detector detector_;
  DetectionBatches batches_;
  ImageCache validation_images_;
  std::unique_ptr<Prefetch<DetectionBatch>> prefetch_;
  // One batch of a step.
  struct Inputs {
    explicit Inputs(Device device)
        : images(device), truth_boxes(device), truth_labels(device), noise_step(device) {}
    DeviceInput images, truth_boxes, truth_labels, noise_step;
    Tensor class_targets, box_targets, positives_and_1;
  };
  Tensor match();  // all batches; returns the normalizer

  std::optional<DeviceMatcher> device_matcher_;  // on CUDA
  std::vector<std::unique_ptr<Inputs>> inputs_;
  Tensor normalizer_;  // of a network on the CPU
};

}  // namespace fovea
