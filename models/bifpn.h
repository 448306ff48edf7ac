#pragma once
#include <map>
#include <memory>
#include <vector>

#include "nn/layers.h"
#include "ops/bifpn_node.h"

namespace fovea {

// Which levels a cell connects (arXiv 1911.09070, figure 2, and the comparison in section 5.3):
//
// bifpn: top-down, then bottom-up, where an inner level reads its cell's input again; no node has only one
// input.
//
// top_down: FPN (arXiv 1612.03144). A level reads itself and the level above, coarser by two.
//
// top_down_bottom_up: FPN followed by a bottom-up path (PANet, arXiv 1803.01534), connected as in effdet's
// panfpn_config.
//
// fully_connected: each level reads every level of the cell's input. The paper names it without describing
// it: this is our interpretation.
enum class Connections { bifpn, top_down, top_down_bottom_up, fully_connected };

// The numbers that make one BiFPN.
struct BiFpnSpec {
  Connections connections = Connections::bifpn;
  int min_level = 3, max_level = 7;
  int64_t channels = 64;
  int cells = 3;
  Fusion fusion = Fusion::fast_normalized;
  Activation activation = Activation::swish;  // after a node's sum, and in the heads
  Padding padding = Padding::same;
  NormOptions norm;
  bool bias_before_norm =
      false;  // as in the TensorFlow models: it has no effect, but their weights contain it
};

// The inputs of one node of a cell: ids below the number of levels are the cell's inputs, finest first; the
// nodes follow in order.
struct BiFpnNodePlan {
  int level;
  std::vector<int> inputs;
};

// The nodes of one cell. A level's output is the last node of that level. BiFPN (figure 2d): top-down from
// the level below the coarsest to the finest, then bottom-up to the coarsest, where an inner level also reads
// its own input again. Throws Error if there are fewer than two levels.
std::vector<BiFpnNodePlan> bifpn_plan(int min_level, int max_level,
                                      Connections connections = Connections::bifpn);

// The separable convolution of the neck and the heads: depthwise 3x3, then 1x1.
class SeparableConv : public Module {
 public:
  SeparableConv(int64_t in, int64_t out, bool bias, Padding padding, Init init, Random& random);
  Tensor forward(const Tensor& x) const override { return forward(x, nullptr); }
  Tensor forward(const Tensor& x, Epilogue* epilogue) const;
  // For every level of a pyramid (N, P, in) -> (N, P, out), as depthwise_conv2d does.
  Tensor forward(const Tensor& x, const PyramidShape& shape) const;
  void fill_bias(double value) const { pointwise_.fill_bias(value); }
  const DepthwiseConv2d& depthwise() const { return depthwise_; }
  const PointwiseConv& pointwise() const { return pointwise_; }

 private:
  DepthwiseConv2d depthwise_;
  PointwiseConv pointwise_;
};

// norm(conv(x)), with the same options as for a 1x1 convolution (nn/layers.h).
inline Tensor conv_norm(const SeparableConv& conv, const BatchNorm& norm, const Tensor& x) {
  return conv_norm(conv.pointwise(), norm, conv.depthwise().forward(x));
}

// 1x1 convolution and batch norm, without activation: it brings a backbone's feature to the BiFPN's channels.
class ConvNorm : public Module {
 public:
  ConvNorm(int64_t in, int64_t out, bool bias, NormOptions norm, Random& random);
  Tensor forward(const Tensor& x) const override { return conv_norm(conv_, norm_, x); }

 private:
  PointwiseConv conv_;
  BatchNorm norm_;
};

// Weighted bidirectional feature pyramid network, or another of the Connections. Parameter names are
// effdet's.
class BiFpn : public Module {
 public:
  // feature_channels: of the backbone's features for min_level, min_level + 1, ...; coarser levels are pooled
  // from the last.
  BiFpn(const BiFpnSpec& spec, const std::vector<int64_t>& feature_channels, Random& random);

  // features (N, H, W, C) of the backbone, finest first -> one tensor of spec.channels for each level, each
  // half the size of the one before, rounded up.
  Tensors forward(const Tensors& features) const;
  using Module::forward;  // with one tensor: it throws

 private:
  struct Node : Module {
    Node(const BiFpnSpec& spec, const BiFpnNodePlan& plan, const std::vector<int64_t>& input_channels,
         Random& random);
    Tensor forward(const Tensors& all, int64_t height, int64_t width) const;
    using Module::forward;

    Fusion fusion;
    Activation activation;
    Padding padding;
    std::vector<int> inputs;
    Tensor edge_weights;
    std::map<int, std::unique_ptr<ConvNorm>> resample;  // by input id
    SeparableConv conv;
    BatchNorm norm;
  };

  BiFpnSpec spec_;
  std::vector<BiFpnNodePlan> plan_;
  std::unique_ptr<ConvNorm> extra_level_;
  std::vector<std::vector<std::unique_ptr<Node>>> cells_;
};

}  // namespace fovea
