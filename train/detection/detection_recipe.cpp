#include "train/detection/detection_recipe.h"

#include <algorithm>

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
  const auto [height, width] = input_size(config, model->spec());
  const Tensor weights = class_weight_tensor(class_weights, model->device());
  Tensor boxes;  // of the anchors, where the loss decodes
  if (config.box_loss != "huber")
    boxes = anchor_tensor(generate_anchors(height, width, model->spec().anchors)).to(model->device());
  const auto losses = [=](const Tensors& outputs, const Tensors& targets) {
    const Tensor class_loss =
        focal_loss(outputs[0], targets[0], targets[2],
                   {config.focal_alpha, config.focal_gamma, config.label_smoothing}, weights);
    const Tensor box_loss = boxes.defined() ? iou_loss(outputs[1], targets[1], targets[0], boxes, targets[2],
                                                       iou_loss_kind(config.box_loss))
                                            : huber_loss(outputs[1], targets[1], targets[2]);
    return std::vector<NamedTensor>{{"train/loss", class_loss + box_loss_weight(config) * box_loss},
                                    {"train/class_loss", class_loss},
                                    {"train/box_loss", box_loss}};
  };
  const int64_t n = config.batch_size, h = height, w = width,
                anchors = count_anchors(height, width, model->spec().anchors);
  const auto empty_batch = [=, precision = activation_dtype(config)](Device device) {
    return Batch{Tensor({n, h, w, 3}, precision, device),
                 {Tensor({n, anchors}, DType::int32, device), Tensor({n, anchors, 4}, DType::float32, device),
                  Tensor({}, DType::float32, device)}};
  };
  std::vector<Shape> constants;
  if (model->device() == Device::cuda)  // the anchors, for matching and for detecting
    constants = {Shape{anchors, 4}, Shape{anchors, 4}};
  for (const Tensor& tensor : {weights, boxes})
    if (tensor.defined()) constants.push_back(tensor.shape());
  return {.model = std::move(model),
          .forward = forward,
          .losses = losses,
          .losses_are_means = false,
          .empty_batch = empty_batch,
          .constants = constants,
          .casts = std::move(casts)};
}

}  // namespace fovea
