#include "train/classification/classifier.h"

#include "core/error.h"
#include "ops/cross_entropy.h"
#include "ops/shape_ops.h"
#include "train/classification/classification_recipe.h"
#include "train/data/augment/augment.h"

namespace fovea {

Classifier::Classifier(const TrainConfig& config, std::vector<std::string> class_names)
    : precision_(activation_dtype(config)),
      class_names_(std::move(class_names)),
      model_(make_classification_network(config, int64_t(class_names_.size()))),
      casts_(casts_of(*model_, precision_)) {
  size_ = input_size(config, model_->spec());
}

Classifier::Classifier(const ModelFile& file, Device device)
    : Classifier(on_device(file.state().config, device), file.state().class_names) {
  require(file.state().config.task == "classification",
          "these weights are of a {} network: it names no whole images", file.state().config.task);
  file.restore(*model_);
  model_->set_training(false);
}

Tensor Classifier::forward(const Tensor& images) const {
  const ParameterCasts::Scope scope(casts_);
  return model_->forward(cast(images, precision_));
}

std::vector<double> Classifier::classify(const Image& image) {
  NoGrad no_grad;
  const InputBatch batch = input(1);
  prepare_for_classification(image, size_, batch.image(0));
  return softmax(forward(batch.on_device())).values();
}

}  // namespace fovea
