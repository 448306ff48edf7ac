#include "train/classification/classifier.h"

#include "core/error.h"
#include "ops/cross_entropy.h"
#include "ops/shape_ops.h"
#include "train/data/augment/augment.h"
#include "train/loop/random_stream.h"

namespace fovea {
namespace {

int square_size(const TrainConfig& config, int own) {
  const auto size = parse_image_size(config.image_size);
  require(size[0] == size[1], "--image-size is '{}': a classifier's input is square", config.image_size);
  return size[0] > 0 ? size[0] : own;
}

}  // namespace

EfficientNetSpec classifier_spec(const TrainConfig& config) {
  EfficientNetSpec spec = efficientnet_spec(config.model);
  spec.drop_path = config.drop_path;
  if (config.batch_norm_momentum > 0) spec.norm.momentum = config.batch_norm_momentum;
  return spec;
}

Classifier::Classifier(const TrainConfig& config, std::vector<std::string> class_names)
    : precision_(activation_dtype(config)), class_names_(std::move(class_names)) {
  const EfficientNetSpec spec = classifier_spec(config);
  size_ = square_size(config, spec.image_size);
  Random random(uint64_t(config.seed), stream_of(RandomStream::weights));
  model_ = std::make_unique<EfficientNet>(spec, int64_t(class_names_.size()), random);
  model_->to(parse_device(config.device));
  model_->set_recompute(config.recompute);
}

Classifier::Classifier(const ModelFile& file, Device device)
    : Classifier(on_device(file.state().config, device), file.state().class_names) {
  require(file.state().config.task == "classification",
          "these weights are of a {} network: it names no whole pictures", file.state().config.task);
  file.restore(*model_);
  model_->set_training(false);
}

Tensor Classifier::forward(const Tensor& images, Random& noise) const {
  return model_->forward(cast(images, precision_), noise);
}

std::vector<double> Classifier::classify(const Image& image) {
  NoGrad no_grad;
  Random unused;
  const Tensor input({1, size_, size_, 3});
  prepare_for_classification(image, size_, false, unused, input.span<float>());
  return softmax(forward(input.to(device()), unused)).values();
}

}  // namespace fovea
