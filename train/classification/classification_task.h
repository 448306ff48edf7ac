#pragma once
#include <memory>

#include "train/classification/classifier.h"
#include "train/data/image/image_cache.h"
#include "train/data/image_folder.h"
#include "train/data/prefetch.h"
#include "train/data/sampler.h"
#include "train/loop/trainer.h"
#include "train/optim/device_input.h"

namespace fovea {

// What one step learns from.
struct ClassificationBatch {
  Tensor images;  // (N, S, S, 3), normalised
  Tensor labels;  // int32 (N)
};

// Learning to name whole pictures: softmax cross-entropy with label smoothing, the mean over the step's
// images.
class ClassificationTask : public Task {
 public:
  ClassificationTask(const TrainConfig& config, ClassificationDataset train,
                     ClassificationDataset validation);

  Module& model() override { return classifier_.model(); }
  int64_t training_images() const override { return int64_t(train_.images.size()); }
  void start(int64_t first, int64_t end) override;
  void load(int64_t step) override;
  std::vector<NamedTensor> compute() override;
  NamedValues evaluate() override;  // validation/top1, validation/top5, validation/loss
  double seconds_waited() const override { return prefetch_ ? prefetch_->seconds_waited() : 0; }

 private:
  ClassificationBatch make(int64_t index);

  TrainConfig config_;
  ClassificationDataset train_, validation_;
  Classifier classifier_;
  Sampler sampler_;
  ImageCache train_images_, validation_images_;
  std::unique_ptr<Prefetch<ClassificationBatch>> prefetch_;
  // One batch of a step.
  struct Inputs {
    explicit Inputs(Device device) : images(device), labels(device), noise_step(device) {}
    DeviceInput images, labels, noise_step;
  };
  std::vector<std::unique_ptr<Inputs>> inputs_;
};

// The probabilities of every picture of a data set, (images, classes).
Tensor classify_dataset(const Classifier& classifier, const ClassificationDataset& dataset,
                        ImageCache& images, int workers);

// Share of the pictures whose label is among the k most probable classes.
double top_k_accuracy(const Tensor& probabilities, const ClassificationDataset& dataset, int k);

// The files of a data set, for an ImageCache.
std::vector<std::string> files_of(const ClassificationDataset& dataset);

}  // namespace fovea
