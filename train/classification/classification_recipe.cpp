#include "train/classification/classification_recipe.h"

#include "core/error.h"
#include "ops/arithmetic.h"
#include "ops/cross_entropy.h"
#include "ops/reduction.h"
#include "ops/shape_ops.h"
#include "train/data/class_weights.h"
#include "train/data/random_stream.h"

namespace fovea {
namespace {

// The mean over the rows of -sum_k t_k log softmax(x)_k, in float32.
Tensor soft_cross_entropy(const Tensor& x, const Tensor& targets) {
  return sum(log_softmax(cast(x, DType::float32)) * targets) / -double(x.size(0));
}

}  // namespace

EfficientNetSpec classifier_spec(const TrainConfig& config) {
  EfficientNetSpec spec = efficientnet_spec(config.model);
  spec.drop_path = config.drop_path;
  if (config.batch_norm_momentum > 0) spec.norm.momentum = config.batch_norm_momentum;
  return spec;
}

int input_size(const TrainConfig& config, const EfficientNetSpec& spec) {
  const auto size = parse_image_size(config.image_size);
  require(size[0] == size[1], "`image_size` is '{}': a classifier's input is square", config.image_size);
  return size[0] > 0 ? size[0] : spec.image_size;
}

std::shared_ptr<EfficientNet> make_classification_network(const TrainConfig& config, int64_t classes,
                                                          bool regularized) {
  EfficientNetSpec spec = classifier_spec(config);
  if (!regularized) spec.dropout = spec.drop_path = 0;
  Random random(uint64_t(config.seed), stream_of(RandomStream::weights));
  auto model = std::make_shared<EfficientNet>(spec, classes, random);
  model->to(parse_device(config.device));
  model->set_recompute(config.recompute);
  return model;
}

void add_to_soft_target(std::span<float> target, int label, double share, double label_smoothing,
                        const std::vector<double>& class_weights) {
  const double whole = share * (class_weights.empty() ? 1 : class_weights[size_t(label)]);
  for (float& number : target) number += float(whole * label_smoothing / double(target.size()));
  target[size_t(label)] += float(whole * (1 - label_smoothing));
}

Recipe classification_recipe(std::shared_ptr<EfficientNet> model, ParameterCasts casts,
                             const TrainConfig& config, const std::vector<double>& class_weights) {
  const Tensor weights = class_weight_tensor(class_weights, model->device());
  const auto forward = [model, precision = activation_dtype(config)](const Tensor& images) {
    return Tensors{model->forward(cast(images, precision))};
  };
  const auto losses = [smoothing = config.label_smoothing, soft = config.mixup > 0, weights](
                          const Tensors& outputs, const Tensors& targets) {
    return std::vector<NamedTensor>{
        {"train/loss", soft ? soft_cross_entropy(outputs[0], targets[0])
                            : softmax_cross_entropy(outputs[0], targets[0], smoothing, weights)}};
  };
  const int64_t n = config.batch_size, size = input_size(config, model->spec());
  const int64_t classes = model->parameters().back().tensor.numel();  // of the classifier's bias
  const auto empty_batch = [=, soft = config.mixup > 0, precision = activation_dtype(config)](Device device) {
    return Batch{Tensor({n, size, size, 3}, precision, device),
                 {soft ? Tensor({n, classes}, DType::float32, device) : Tensor({n}, DType::int32, device)}};
  };
  return {.model = std::move(model),
          .forward = forward,
          .losses = losses,
          .empty_batch = empty_batch,
          .casts = std::move(casts)};
}

}  // namespace fovea
