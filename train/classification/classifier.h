#pragma once
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "models/box.h"
#include "models/efficientnet.h"
#include "train/data/augment/input_image.h"
#include "train/data/image/image.h"
#include "train/loop/config.h"
#include "train/loop/model_file.h"

namespace fovea {

// A classifier: the network, its input size and the names of its classes.
class Classifier {
 public:
  Classifier(const TrainConfig& config,
             std::vector<std::string> class_names);  // fresh weights from config.seed
  // Loads the weights of a file, in evaluation mode. Throws as ModelFile does, and if its task is not
  // classification.
  explicit Classifier(const ModelFile& file, Device device = Device::cpu);

  EfficientNet& model() { return *model_; }
  const EfficientNet& model() const { return *model_; }
  const std::shared_ptr<EfficientNet>& shared_model() const { return model_; }
  const ParameterCasts& casts() const { return casts_; }  // of its weights, which forward() keeps up to date
  const std::vector<std::string>& class_names() const { return class_names_; }
  int size() const { return size_; }
  Device device() const { return model_->device(); }
  // An input of `count` images, for prepare_for_classification() to draw.
  InputBatch input(int64_t count) const {
    return {{count, size_, size_, 3}, precision_, device(), model_->normalization()};
  }

  // The logits (N, classes) of images (N, size, size, 3) on its device: computed in the configured
  // precision.
  Tensor forward(const Tensor& images) const;

  // The probabilities (N, classes) for images (N * views, size, size, 3) on its device, float32: the mean
  // over the views of each image, which follow each other.
  Tensor probabilities(const Tensor& images, int64_t views = 1) const;

  // The probability of each class, the mean over the views of the image. Each view is one flip
  // (test_time_flips()).
  std::vector<double> classify(const Image& image, std::span<const Flip> views = unflipped);

 private:
  int size_;
  DType precision_;
  std::vector<std::string> class_names_;
  std::shared_ptr<EfficientNet> model_;
  ParameterCasts casts_;
};

}  // namespace fovea
