#pragma once
#include <memory>
#include <string>
#include <vector>

#include "models/anchors.h"
#include "models/bifpn.h"
#include "models/efficientnet.h"

namespace fovea {

// The numbers that make one EfficientDet (arXiv 1911.09070, section 4.2 and table 1).
struct EfficientDetSpec {
  std::string name = "efficientdet_d0";
  int image_size = 512;
  EfficientNetSpec backbone;
  BiFpnSpec fpn;
  int head_repeats = 3;
  AnchorOptions anchors;
};

// "tf_efficientdet_d0" to "d7" and "d7x", like the models of google/automl and effdet with these names: SAME
// padding, norms with epsilon 1e-3, a bias before each norm of BiFPN and heads. "efficientdet_d0" to "d7x",
// effdet's PyTorch variants (it has weights of D0 to D3): the same sizes with symmetric padding, no such
// bias, and a backbone with epsilon 1e-5. "tf_efficientdet_lite0" to "lite4" and "lite3x", for phones: on the
// lite backbones, with relu6 and plain sums; "tf_efficientdet_lite-1", Fovea's own, continues them by one step
// on the backbone of Lite0, whose published weights fit it. And "efficientdet_d-1" to "d-3", Fovea's own, with the paper's
// padding and norms and without that bias: the compound rule continued below D0, for CPUs and lessons, input
// 512 + 128 phi, BiFPN width 64 * 1.35^phi (to a multiple of 8), BiFPN depth 3 + phi (at least 1), head depth
// 3 + floor(phi / 3). The anchor scale is default_anchor_scale() of the input size. Throws Error on other
// names, listing these.
EfficientDetSpec efficientdet_spec(const std::string& name);
std::vector<std::string> efficientdet_names();

// A detector's output for each anchor, in the order of generate_anchors().
struct DetectorOutput {
  Tensor class_logits;  // (N, anchors, classes)
  Tensor box_codes;     // (N, anchors, 4): ty, tx, th, tw (models/box_coder.h)
};

// The class net or the box net: convolutions shared by all levels, with separate batch norms for each level.
class DetectionHead : public Module {
 public:
  DetectionHead(const EfficientDetSpec& spec, int64_t outputs_per_anchor, double bias, Random& random);
  // One feature for each level -> (N, anchors of all levels, outputs_per_anchor), in the order of
  // generate_anchors().
  Tensor forward(const Tensors& features) const;
  // The same for levels side by side in one tensor (N, P, C): each layer runs once for all of them. All norms
  // of a layer must be in the same mode.
  Tensor forward(const Tensor& pyramid, const PyramidShape& shape) const;
  using Module::forward;  // with one tensor: it throws
  // Whether the norms of each layer all take the batch's statistics, or none does: one level may be frozen.
  bool norms_in_one_mode() const;

 private:
  struct Repeat {
    std::unique_ptr<SeparableConv> conv;
    std::vector<std::unique_ptr<BatchNorm>> norms;  // by level
  };
  int64_t outputs_;
  std::vector<Repeat> repeats_;
  SeparableConv predict_;
};

// The whole detector (arXiv 1911.09070, figure 3): backbone, BiFPN, and the two nets that all levels share.
// Parameter names are effdet's.
class EfficientDet : public Module {
 public:
  // `classes` is 1 or more. Weights come from `random`: the same numbers give the same weights.
  EfficientDet(const EfficientDetSpec& spec, int64_t classes, Random& random);
  // The same on your own backbone, with features of strides 8, 16 and 32; spec.backbone is ignored. The
  // backbone keeps its weights. Throws Error if it has other strides.
  EfficientDet(const EfficientDetSpec& spec, std::unique_ptr<Backbone> backbone, int64_t classes,
               Random& random);

  // For images (N, H, W, 3), normalised, of any size. Throws Error on other shapes.
  DetectorOutput outputs(const Tensor& images) const;

  // The features between BiFPN and heads: (N, ceil(H / 2^l), ceil(W / 2^l), spec().fpn.channels) for each
  // level l, finest first.
  Tensors pyramid(const Tensor& images) const;

  const EfficientDetSpec& spec() const { return spec_; }
  int64_t classes() const { return classes_; }
  Normalization normalization() const { return backbone_->normalization(); }  // of the images

 private:
  EfficientDetSpec spec_;
  int64_t classes_;
  std::unique_ptr<Backbone> backbone_;
  BiFpn fpn_;
  DetectionHead class_net_, box_net_;
};

}  // namespace fovea
