#include "models/efficientdet.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "core/recompute.h"
#include "core/tape_observer.h"
#include "nn/trace.h"
#include "ops/conv1x1_batch_norm.h"
#include "ops/shape_ops.h"

namespace fovea {
namespace {

struct Published {
  const char* name;
  int image_size, backbone;
  int64_t fpn_channels;
  int fpn_cells, head_repeats;
  Fusion fusion;
  int max_level;
  double anchor_scale;
};

constexpr Fusion fast = Fusion::fast_normalized;
constexpr std::array<Published, 9> published = {
    {{"efficientdet_d0", 512, 0, 64, 3, 3, fast, 7, 4},
     {"efficientdet_d1", 640, 1, 88, 4, 3, fast, 7, 4},
     {"efficientdet_d2", 768, 2, 112, 5, 3, fast, 7, 4},
     {"efficientdet_d3", 896, 3, 160, 6, 4, fast, 7, 4},
     {"efficientdet_d4", 1024, 4, 224, 7, 4, fast, 7, 4},
     {"efficientdet_d5", 1280, 5, 288, 7, 4, fast, 7, 4},
     {"efficientdet_d6", 1280, 6, 384, 8, 5, Fusion::sum, 7, 4},
     {"efficientdet_d7", 1536, 6, 384, 8, 5, Fusion::sum, 7, 5},
     {"efficientdet_d7x", 1536, 7, 384, 8, 5, Fusion::sum, 8, 4}}};
// google/automl's for phones, as in effdet: on the lite backbones, with plain sums and relu6.
// "lite-1", Fovea's own, continues their scaling by one step, on the smallest published backbone.
constexpr std::array<Published, 7> lite = {{{"efficientdet_lite-1", 256, 0, 48, 2, 2, Fusion::sum, 7, 2},
                                            {"efficientdet_lite0", 320, 0, 64, 3, 3, Fusion::sum, 7, 3},
                                            {"efficientdet_lite1", 384, 1, 88, 4, 3, Fusion::sum, 7, 3},
                                            {"efficientdet_lite2", 448, 2, 112, 5, 3, Fusion::sum, 7, 3},
                                            {"efficientdet_lite3", 512, 3, 160, 6, 4, Fusion::sum, 7, 4},
                                            {"efficientdet_lite3x", 640, 3, 200, 6, 4, Fusion::sum, 7, 3},
                                            {"efficientdet_lite4", 640, 4, 224, 7, 4, Fusion::sum, 7, 4}}};
constexpr int smallest = -3;

EfficientDetSpec below_d0(int phi) {
  EfficientDetSpec spec;
  spec.name = fmt::format("efficientdet_d{}", phi);
  spec.image_size = 512 + 128 * phi;
  spec.backbone = efficientnet_spec(fmt::format("efficientnet_b{}", phi));
  spec.fpn.channels = int64_t(std::lround(64 * std::pow(1.35, phi) / 8)) * 8;
  spec.fpn.cells = std::max(1, 3 + phi);
  spec.head_repeats = 3 + int(std::floor(phi / 3.0));
  spec.anchors.anchor_scale = default_anchor_scale(spec.image_size);
  return spec;
}

EfficientDetSpec from_published(const Published& p, const std::string& name, const std::string& backbone) {
  const bool tensorflow = name.starts_with("tf_");
  EfficientDetSpec spec;
  spec.name = name;
  spec.image_size = p.image_size;
  spec.backbone = efficientnet_spec(backbone);
  spec.fpn = {.max_level = p.max_level,
              .channels = p.fpn_channels,
              .cells = p.fpn_cells,
              .fusion = p.fusion,
              .activation = spec.backbone.activation,
              .padding = spec.backbone.padding,
              .bias_before_norm = tensorflow};
  spec.head_repeats = p.head_repeats;
  spec.anchors.max_level = p.max_level;
  spec.anchors.anchor_scale = p.anchor_scale;
  return spec;
}

}  // namespace

std::vector<std::string> efficientdet_names() {
  std::vector<std::string> names;
  for (int phi = smallest; phi < 0; ++phi) names.push_back(fmt::format("efficientdet_d{}", phi));
  for (const char* prefix : {"", "tf_"})
    for (const Published& p : published) names.push_back(prefix + std::string(p.name));
  for (const Published& p : lite) names.push_back("tf_" + std::string(p.name));
  return names;
}

EfficientDetSpec efficientdet_spec(const std::string& name) {
  for (int phi = smallest; phi < 0; ++phi)
    if (name == fmt::format("efficientdet_d{}", phi)) return below_d0(phi);
  const std::string prefix = name.starts_with("tf_") ? "tf_" : "";
  for (const Published& p : published)
    if (name == prefix + p.name)
      return from_published(p, name, fmt::format("{}efficientnet_b{}", prefix, p.backbone));
  for (const Published& p : lite)
    if (name == std::string("tf_") + p.name)
      return from_published(p, name, fmt::format("tf_efficientnet_lite{}", p.backbone));
  fail("there is no model {}: choose one of {}", name, fmt::join(efficientdet_names(), ", "));
}

DetectionHead::DetectionHead(const EfficientDetSpec& spec, int64_t outputs_per_anchor, double bias,
                             Random& random)
    : outputs_(outputs_per_anchor),
      predict_(spec.fpn.channels, spec.anchors.per_cell() * outputs_per_anchor, true, spec.fpn.padding,
               Init::fan_in_normal, random) {
  for (int i = 0; i < spec.head_repeats; ++i) {
    Repeat repeat;
    repeat.conv =
        std::make_unique<SeparableConv>(spec.fpn.channels, spec.fpn.channels, spec.fpn.bias_before_norm,
                                        spec.fpn.padding, Init::fan_in_normal, random);
    add_child(fmt::format("conv_rep.{}", i), *repeat.conv);
    for (int level = spec.fpn.min_level; level <= spec.fpn.max_level; ++level) {
      repeat.norms.push_back(
          std::make_unique<BatchNorm>(spec.fpn.channels, spec.fpn.activation, spec.fpn.norm));
      add_child(fmt::format("bn_rep.{}.{}.bn", i, level - spec.fpn.min_level), *repeat.norms.back());
    }
    repeats_.push_back(std::move(repeat));
  }
  add_child("predict", predict_);
  predict_.fill_bias(bias);
}

Tensor DetectionHead::forward(const Tensors& features) const {
  // For inference the levels are put side by side where they are narrower, before or after the last product:
  // 90 classes have 810 outputs a pixel. A trace and a recorded graph have one product for each level, and so
  // has a training step, where the order of the sums must be that of recompute().
  const PointwiseConv& last = predict_.pointwise();
  const bool product_of_all = last.weight().size(1) > last.weight().size(0) && !grad_enabled() &&
                              !will_be_recomputed() && !is_traced() && !TapeObserver::any_needs_whole_graph();
  Tensors levels;
  for (size_t level = 0; level < features.size(); ++level) {
    const auto tower = [this, level, product_of_all](const Tensors& inputs) {
      Tensor y = inputs[0];
      for (const Repeat& repeat : repeats_) y = conv_norm(*repeat.conv, *repeat.norms[level], y);
      return product_of_all ? predict_.depthwise().forward(y) : predict_.forward(y);
    };
    const Tensor x = run_part(tower, {features[level]}, {this});
    const int64_t width = product_of_all ? x.size(3) : outputs_;
    levels.push_back(reshape(x, {x.size(0), x.numel() / x.size(0) / width, width}));
  }
  const Tensor all = concat(levels, 1);
  if (!product_of_all) return all;
  return reshape(last.forward(all), {all.size(0), all.size(1) * last.weight().size(1) / outputs_, outputs_});
}

bool DetectionHead::norms_in_one_mode() const {
  return std::all_of(repeats_.begin(), repeats_.end(), [](const Repeat& repeat) {
    const bool first = repeat.norms[0]->uses_batch_statistics();
    return std::all_of(repeat.norms.begin(), repeat.norms.end(),
                       [&](const auto& norm) { return norm->uses_batch_statistics() == first; });
  });
}

Tensor DetectionHead::forward(const Tensor& pyramid, const PyramidShape& shape) const {
  std::vector<int64_t> pixels;
  for (const ImageSize& level : shape.levels) pixels.push_back(level.pixels());
  const auto tower = [this, shape, pixels](const Tensors& inputs) {
    Tensor y = inputs[0];
    for (const Repeat& repeat : repeats_) {
      std::vector<BatchNormTensors> norms;
      for (const auto& norm : repeat.norms) norms.push_back(norm->tensors());
      const PointwiseConv& conv = repeat.conv->pointwise();
      const BatchNormOptions options = repeat.norms[0]->options();
      y = repeat.conv->depthwise().forward(y, shape);
      // With a bias, and where each layer's output is shown, they are two ops, as in conv_norm().
      y = conv.bias().defined() || is_traced() ? batch_norm(conv.forward(y), pixels, norms, options)
                                               : conv1x1_batch_norm(y, conv.weight(), pixels, norms, options);
      repeat.norms[0]->trace_output(y);  // one line for all levels, as for the convolutions
    }
    return predict_.forward(y, shape);
  };
  const Tensor x = run_part(tower, {pyramid}, {this});
  return reshape(x, {x.size(0), x.numel() / x.size(0) / outputs_, outputs_});
}

namespace {

std::unique_ptr<Backbone> checked(std::unique_ptr<Backbone> backbone) {
  require(backbone != nullptr, "[EfficientDet] the backbone is null");
  const std::vector<int64_t> strides = backbone->feature_strides();
  require(strides == std::vector<int64_t>{8, 16, 32},
          "[EfficientDet] the backbone has features of strides {}: they must be 8, 16, 32",
          fmt::join(strides, ", "));
  return backbone;
}

}  // namespace

EfficientDet::EfficientDet(const EfficientDetSpec& spec, int64_t classes, Random& random)
    : EfficientDet(spec, std::make_unique<EfficientNet>(spec.backbone, 0, random), classes, random) {}

EfficientDet::EfficientDet(const EfficientDetSpec& spec, std::unique_ptr<Backbone> backbone, int64_t classes,
                           Random& random)
    : spec_(spec),
      classes_(classes),
      backbone_(checked(std::move(backbone))),
      fpn_(spec.fpn, backbone_->feature_channels(), random),
      // Every anchor starts as an object with probability 0.01, so that the many negatives do not dominate
      // the first steps (arXiv 1708.02002, 4.1).
      class_net_(spec, classes, -std::log((1 - 0.01) / 0.01), random),
      box_net_(spec, 4, 0, random) {
  require(classes >= 1, "[EfficientDet] {} classes: a detector needs at least one", classes);
  add_child("backbone", *backbone_);
  add_child("fpn", fpn_);
  add_child("class_net", class_net_);
  add_child("box_net", box_net_);
}

Tensors EfficientDet::pyramid(const Tensor& images) const {
  return fpn_.forward(backbone_->features(images));
}

DetectorOutput EfficientDet::outputs(const Tensor& images) const {
  const Tensors features = pyramid(images);
  // On the CPU level by level: a norm takes its statistics while the convolution's blocks are in the cache.
  const bool one_mode = class_net_.norms_in_one_mode() && box_net_.norms_in_one_mode();
  if (images.device() == Device::cpu || !one_mode)
    return {class_net_.forward(features), box_net_.forward(features)};
  // The small levels would leave a GPU mostly idle, so each layer runs once over all levels.
  PyramidShape shape;
  Tensors parts;
  for (const Tensor& feature : features) {
    shape.levels.push_back({feature.size(1), feature.size(2)});
    parts.push_back(reshape(feature, {feature.size(0), shape.levels.back().pixels(), feature.size(3)}));
  }
  const Tensor levels = concat(parts, 1);
  return {class_net_.forward(levels, shape), box_net_.forward(levels, shape)};
}

}  // namespace fovea
