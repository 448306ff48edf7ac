#pragma once
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "models/backbone.h"
#include "nn/layers.h"

namespace fovea {

// The numbers that make one EfficientNet (arXiv 1905.11946): B0's seven stages scaled in width and depth.
struct EfficientNetSpec {
  std::string name = "efficientnet_b0";
  double width = 1.0;      // factor on channels
  double depth = 1.0;      // factor on repeats
  int image_size = 224;    // of the classifier in the paper
  double dropout = 0.2;    // before the classifier
  double drop_path = 0.2;  // stochastic depth of the last block; earlier ones proportionally less
  bool lite = false;       // without squeeze and excite; stem, head and depth of the outer stages not scaled
  Activation activation = Activation::swish;
  Padding padding = Padding::same;
  NormOptions norm;
  Normalization normalization;
};

// "tf_efficientnet_b0" to "b7", as in the paper's own code and timm's models with these names: SAME padding,
// norms with epsilon 1e-3 and momentum 0.01. "efficientnet_b0" to "b7", timm's PyTorch variants: the same
// sizes with padding (k - 1) / 2 on every side, epsilon 1e-5 and momentum 0.1. "tf_efficientnet_lite0" to
// "lite4", for phones: relu6, and without what is slow there (EfficientNetSpec::lite); timm's models with
// these names, and lukemelas' "efficientnet-lite0" (https://github.com/tensorflow/tpu,
// models/official/efficientnet/lite). And "efficientnet_b-1" to "b-3", Fovea's own, with the paper's padding
// and norms: the compound rule continued below B0, for CPUs. The paper scales width by 1.1^phi and depth by
// 1.2^phi; Fovea's b-n takes phi = -2 n, so that the backbone shrinks about as fast as the work on its input
// does when a detector goes from 512 to 384, 256 and 128 px. Throws Error on other names, listing these.
EfficientNetSpec efficientnet_spec(const std::string& name);
std::vector<std::string> efficientnet_names();

// Between stem and head, one for each row of table 1: `repeats` blocks, the first with the stride.
struct EfficientNetStage {
  int kernel, stride;
  int64_t channels;
  int repeats, expansion;
};

// The network's scaled widths and depths: B0's times spec.width, rounded; repeats are rounded up.
struct EfficientNetPlan {
  int64_t stem_channels, head_channels;
  std::vector<EfficientNetStage> stages;
};
EfficientNetPlan efficientnet_plan(const EfficientNetSpec& spec);
bool is_feature_stage(size_t stage);  // whether a detector uses its end: stages 2, 4 and 6, counted from 0

// c * width rounded to a multiple of 8, never below 0.9 of it.
int64_t round_channels(double channels, double width);

// Mobile inverted bottleneck: [1x1 expand, BN, activation] depthwise, BN, activation, squeeze-excite (not in
// the lite networks), 1x1 project, BN, + input if shapes agree.
class MBConv : public Module {
 public:
  // One block: channels in and out, and the factor by which its 1x1 convolution widens (1: there is none).
  struct Options {
    int64_t in, out;
    int expansion;
    Window window;
    double drop_path;
    NormOptions norm;
    Activation activation = Activation::swish;
    bool squeeze_excite = true;
  };
  MBConv(const Options& options, Random& random);
  Tensor forward(const Tensor& x) const override;

 private:
  struct SqueezeExcite : Module {
    SqueezeExcite(int64_t channels, int64_t reduced, Random& random);
    Tensor forward(const Tensor& x) const override;
    PointwiseConv conv_reduce, conv_expand;
  };

  // The depthwise convolution, its norm, and squeeze and excite.
  Tensor gated(const Tensor& x) const;

  Options options_;
  std::optional<PointwiseConv> expand_;
  std::optional<BatchNorm> expand_norm_;
  DepthwiseConv2d depthwise_;
  BatchNorm depthwise_norm_;
  std::optional<SqueezeExcite> squeeze_excite_;
  PointwiseConv project_;
  BatchNorm project_norm_;
};

// Stem and the seven stages. Parameter names are timm's.
class EfficientNet : public Backbone {
 public:
  // An independent network, or one that a parent adds later; classes 0: features only, as a detector's
  // backbone.
  EfficientNet(const EfficientNetSpec& spec, int64_t classes, Random& random);
  // A part of another network.
  EfficientNet(Module& parent, const std::string& name, const EfficientNetSpec& spec, int64_t classes = 0);

  // images (N, H, W, 3), normalised -> logits (N, classes). Throws Error on other shapes, and if the network
  // was made without classes.
  Tensor forward(const Tensor& images) const override;

  // The features a detector uses: ends of stages 2, 4 and 6, strides 8, 16 and 32 (P3, P4, P5).
  Tensors features(const Tensor& images) const override;
  std::vector<int64_t> feature_channels() const override { return feature_channels_; }
  Normalization normalization() const override { return spec_.normalization; }

  const EfficientNetSpec& spec() const { return spec_; }

 private:
  void add_parts(int64_t classes, Random& random);

  EfficientNetSpec spec_;
  Conv2d stem_;
  BatchNorm stem_norm_;
  std::vector<std::vector<std::unique_ptr<MBConv>>> stages_;
  std::vector<int64_t> feature_channels_;
  std::optional<PointwiseConv> head_;
  std::optional<BatchNorm> head_norm_;
  std::optional<Linear> classifier_;
};

}  // namespace fovea
