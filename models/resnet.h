#pragma once
#include <array>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "models/backbone.h"
#include "nn/layers.h"

namespace fovea {

// The numbers that make one of the small ResNets (arXiv 1512.03385, table 1), of basic blocks.
struct ResNetSpec {
  std::string name = "resnet18";
  std::array<int, 4> blocks{2, 2, 2, 2};               // in each stage
  std::array<int64_t, 4> channels{64, 128, 256, 512};  // of each stage
  NormOptions norm{.epsilon = 1e-5, .momentum = 0.1};
};

// "resnet18" and "resnet34", like timm's and torchvision's models with these names, whose weights they can
// load. Throws Error on other names, listing these.
ResNetSpec resnet_spec(const std::string& name);
std::vector<std::string> resnet_names();

// Two 3 x 3 convolutions beside a shortcut, which is a strided 1 x 1 convolution if shapes differ.
class BasicBlock : public Module {
 public:
  BasicBlock(Module& parent, const std::string& name, int64_t in, int64_t out, int stride, NormOptions norm);
  Tensor forward(const Tensor& x) const override;

 private:
  Conv2d conv1_;
  BatchNorm norm1_;
  Conv2d conv2_;
  BatchNorm norm2_;
  std::optional<Conv2d> shortcut_;
  std::optional<BatchNorm> shortcut_norm_;
};

// A residual network. Parameter names are timm's. Convolutions are initialised from normal(0, sqrt(2 /
// fan_out)), the classifier like PyTorch's Linear.
class ResNet : public Backbone {
 public:
  // An independent network; classes 0: features only, as a detector's backbone.
  ResNet(const ResNetSpec& spec, int64_t classes, uint64_t seed = 0);
  // A part of another network.
  ResNet(Module& parent, const std::string& name, const ResNetSpec& spec, int64_t classes = 0);

  // images (N, H, W, 3), normalised -> logits (N, classes). Throws Error if the network was made without
  // classes.
  Tensor forward(const Tensor& images) const override;
  Tensors features(const Tensor& images) const override;
  std::vector<int64_t> feature_channels() const override {
    return {spec_.channels[1], spec_.channels[2], spec_.channels[3]};
  }
  const ResNetSpec& spec() const { return spec_; }

 private:
  void add_parts(int64_t classes);

  ResNetSpec spec_;
  std::unique_ptr<Conv2d> stem_;
  std::unique_ptr<BatchNorm> stem_norm_;
  std::array<std::vector<std::unique_ptr<BasicBlock>>, 4> stages_;
  std::unique_ptr<Linear> classifier_;
};

}  // namespace fovea
