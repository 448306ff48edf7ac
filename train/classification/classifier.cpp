#include "train/classification/classifier.h"

#include "core/error.h"
#include "ops/cross_entropy.h"
#include "ops/reduction.h"
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
          "these weights are of a {} network: it does not classify images", file.state().config.task);
  file.restore(*model_);
  model_->set_training(false);
}

Tensor Classifier::forward(const Tensor& images) const {
  const ParameterCasts::Scope scope(casts_);
  return model_->forward(cast(images, precision_));
}

Tensor Classifier::probabilities(const Tensor& images, int64_t views) const {
  const Tensor each = cast(softmax(forward(images)), DType::float32);
  return views == 1 ? each : mean(reshape(each, {each.size(0) / views, views, each.size(1)}), 1);
}

std::vector<double> Classifier::classify(const Image& image, std::span<const Flip> views) {
  NoGrad no_grad;
  const InputBatch batch = input(int64_t(views.size()));
  for (size_t v = 0; v < views.size(); ++v)
    prepare_for_classification(image, size_, batch.image(int64_t(v)), views[v]);
  return probabilities(batch.on_device(), int64_t(views.size())).values();
}

}  // namespace fovea
