#pragma once
#include <array>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "train/detection/detection_batches.h"
#include "train/detection/detector.h"
#include "train/detection/matching.h"
#include "train/loop/checkpoint.h"
#include "train/loop/task.h"

namespace fovea {

// Trains a detector: detection_recipe() on a data set. Both losses are divided by the number of positive
// anchors in all images of a step, which are matched before the first forward pass: with batch norm frozen
// the gradient of accumulated batches is that of one large batch of the same images.
class DetectionTask : public Task {
 public:
  DetectionTask(const TrainConfig& config, DetectionDataset train, DetectionDataset validation,
                ProcessGroup& group = single_process());

  // For your own detector: config.model and config.init_from are ignored, config.precision is used.
  DetectionTask(const TrainConfig& config, Detector detector, DetectionDataset&& train,
                DetectionDataset&& validation, ProcessGroup& group = single_process());

  Detector& detector() { return detector_; }
  DetectionBatches& batches() { return batches_; }

  // See Task.
  int64_t training_images() const override { return int64_t(train_.images.size()); }
  Batch make_batch(int64_t index) override { return batches_.make(index); }
  std::vector<Batch> prepare(std::vector<Batch> batches) override;
  NamedValues evaluate() override;

  std::string name() const override { return train_.name; }
  std::string description() const override;
  std::vector<std::string> warnings() const override;
  std::vector<std::string> files() const override;
  void begin(const std::string& folder) override;  // writes augmented.jpg
  TaskResult finish(const std::string& folder) override;

 private:
  Detector best_detector(const std::string& folder);

  TrainConfig config_;
  ProcessGroup& group_;
  DetectionDataset train_, validation_;
  Detector detector_;
  DetectionBatches batches_;
  ImageCache validation_images_;
  bool follows_config_ = false;                                      // the detector was made from config
  std::map<std::array<int64_t, 2>, DeviceMatcher> device_matchers_;  // on CUDA, for each height and width
  std::vector<Tensors> matched_;  // the targets that these write, of each batch of a step
};

// Opens the splits that state.config names, resolves the configuration and fills in the classes.
std::unique_ptr<Task> make_detection_task(TrainingState& state, ProcessGroup& group);

}  // namespace fovea
