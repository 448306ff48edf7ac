#include "train/detection/detection_recipe.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "core/error.h"
#include "models/anchors.h"
#include "ops/arithmetic.h"
#include "ops/detection_loss.h"
#include "ops/shape_ops.h"
#include "train/data/class_weights.h"
#include "train/data/random_stream.h"
#include "train/loop/resolve_config.h"

namespace fovea {
namespace {

IouLossKind iou_loss_kind(const std::string& name) {
  return name == "giou" ? IouLossKind::giou : name == "diou" ? IouLossKind::diou : IouLossKind::ciou;
}

}  // namespace

EfficientDetSpec detector_spec(const TrainConfig& config) {
  EfficientDetSpec spec = efficientdet_spec(config.model);
  const auto size = parse_image_size(config.image_size);
  if (size[0] > 0) {
    spec.image_size = std::max(size[0], size[1]);
    spec.anchors.anchor_scale = default_anchor_scale(spec.image_size);
  }
  if (config.anchor_scale > 0) spec.anchors.anchor_scale = config.anchor_scale;
  spec.anchors.aspect_factors = parse_aspect_ratios(config.aspect_ratios);
  if (config.fpn == "bifpn") spec.fpn.connections = Connections::bifpn;
  if (config.fpn == "top_down") spec.fpn.connections = Connections::top_down;
  if (config.fpn == "top_down_bottom_up") spec.fpn.connections = Connections::top_down_bottom_up;
  if (config.fpn == "fully_connected") spec.fpn.connections = Connections::fully_connected;
  if (config.fusion == "fast_normalized") spec.fpn.fusion = Fusion::fast_normalized;
  if (config.fusion == "softmax") spec.fpn.fusion = Fusion::softmax;
  if (config.fusion == "sum") spec.fpn.fusion = Fusion::sum;
  spec.backbone.drop_path = config.drop_path;
  if (config.batch_norm_momentum > 0)
    spec.backbone.norm.momentum = spec.fpn.norm.momentum = config.batch_norm_momentum;
  return spec;
}

std::array<int, 2> input_size(const TrainConfig& config, const EfficientDetSpec& spec) {
  const auto size = parse_image_size(config.image_size);
  return size[0] > 0 ? size : std::array{spec.image_size, spec.image_size};
}

std::vector<std::array<int, 2>> training_sizes(const TrainConfig& config, std::array<int, 2> size) {
  if (config.multi_scale == 0) return {size};
  constexpr int step = 32;
  const double longer = std::max(size[0], size[1]);
  const int least = std::max(1, int(std::ceil(longer * (1 - config.multi_scale) / step))),
            most = int(longer * (1 + config.multi_scale) / step);
  require(
      least < most,
      "`multi_scale` is {} and the input {}x{} px: less than two sizes that are multiples of {} px lie so "
      "near to it, give more or a larger `image_size`",
      config.multi_scale, size[0], size[1], step);
  std::vector<std::array<int, 2>> sizes;
  for (int steps = least; steps <= most; ++steps) {
    const auto side = [&](int own) { return step * std::max(1, int(std::lround(own * steps / longer))); };
    sizes.push_back({side(size[0]), side(size[1])});
  }
  return sizes;
}

std::shared_ptr<EfficientDet> make_detection_network(const TrainConfig& config, int64_t classes,
                                                     bool regularized) {
  EfficientDetSpec spec = detector_spec(config);
  if (!regularized) spec.backbone.drop_path = 0;
  Random random(uint64_t(config.seed), stream_of(RandomStream::weights));
  auto model = std::make_shared<EfficientDet>(spec, classes, random);
  model->to(parse_device(config.device));
  model->set_recompute(config.recompute);
  return model;
}

Recipe detection_recipe(std::shared_ptr<EfficientDet> model, ParameterCasts casts, const TrainConfig& config,
                        const std::vector<double>& class_weights) {
  const auto forward = [model, precision = activation_dtype(config)](const Tensor& images) {
    const DetectorOutput output = model->outputs(cast(images, precision));
    return Tensors{output.class_logits, output.box_codes};
  };
  const AnchorOptions& spec = model->spec().anchors;
  const bool on_device = model->device() == Device::cuda;
  const Tensor weights = class_weight_tensor(class_weights, model->device());
  const auto size = input_size(config, model->spec());
  const auto sizes = training_sizes(config, size);
  std::vector<Shape> constants;
  if (on_device) constants = {Shape{count_anchors(size[0], size[1], spec), 4}};  // for detecting
  if (weights.defined()) constants.push_back(weights.shape());
  std::map<int64_t, Tensor> boxes;  // of each size's anchors, by their number, where the loss decodes
  for (const auto& [height, width] : sizes) {
    const int64_t anchors = count_anchors(height, width, spec);
    const int64_t uses = int64_t(on_device) + int64_t(config.box_loss != "huber");  // for matching
    constants.insert(constants.end(), size_t(uses), Shape{anchors, 4});
    if (config.box_loss != "huber")
      boxes[anchors] = anchor_tensor(generate_anchors(height, width, spec)).to(model->device());
  }
  const auto losses = [=](const Tensors& outputs, const Tensors& targets) {
    const Tensor class_loss =
        focal_loss(outputs[0], targets[0], targets[2],
                   {config.focal_alpha, config.focal_gamma, config.label_smoothing}, weights);
    const Tensor box_loss = boxes.empty()
                                ? huber_loss(outputs[1], targets[1], targets[2])
                                : iou_loss(outputs[1], targets[1], targets[0], boxes.at(outputs[1].size(1)),
                                           targets[2], iou_loss_kind(config.box_loss));
    return std::vector<NamedTensor>{{"train/loss", class_loss + box_loss_weight(config) * box_loss},
                                    {"train/class_loss", class_loss},
                                    {"train/box_loss", box_loss}};
  };
  const int64_t n = config.batch_size, h = sizes.back()[0], w = sizes.back()[1],
                anchors = count_anchors(sizes.back()[0], sizes.back()[1], spec);
  const auto empty_batch = [=, precision = activation_dtype(config)](Device device) {
    return Batch{Tensor({n, h, w, 3}, precision, device),
                 {Tensor({n, anchors}, DType::int32, device), Tensor({n, anchors, 4}, DType::float32, device),
                  Tensor({}, DType::float32, device)}};
  };
  return {.model = std::move(model),
          .forward = forward,
          .losses = losses,
          .losses_are_means = false,
          .empty_batch = empty_batch,
          .constants = constants,
          .casts = std::move(casts)};
}

}  // namespace fovea
