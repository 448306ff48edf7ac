#include "models/resnet.h"

#include "core/error.h"
#include "ops/activation.h"
#include "ops/arithmetic.h"
#include "ops/pool2d.h"
#include "ops/reduction.h"

namespace fovea {
namespace {

Conv2dOptions conv3x3(int64_t in, int64_t out, int stride) {
  return {.in = in,
          .out = out,
          .kernel = 3,
          .stride = stride,
          .padding = Padding::symmetric,
          .bias = false,
          .init = Init::fan_out_normal};
}

}  // namespace

ResNetSpec resnet_spec(const std::string& name) {
  if (name == "resnet18") return {};
  if (name == "resnet34") return {.name = name, .blocks = {3, 4, 6, 3}};
  fail("there is no model {}: choose one of {}", name, fmt::join(resnet_names(), ", "));
}

std::vector<std::string> resnet_names() { return {"resnet18", "resnet34"}; }

BasicBlock::BasicBlock(Module& parent, const std::string& name, int64_t in, int64_t out, int stride,
                       NormOptions norm)
    : Module(parent, name),
      conv1_(*this, "conv1", conv3x3(in, out, stride)),
      norm1_(*this, "bn1", out, Activation::relu, norm),
      conv2_(*this, "conv2", conv3x3(out, out, 1)),
      norm2_(*this, "bn2", out, Activation::identity, norm) {
  if (stride == 1 && in == out) return;
  Conv2dOptions projection = conv3x3(in, out, stride);
  projection.kernel = 1;
  shortcut_.emplace(*this, "downsample.0", projection);
  shortcut_norm_.emplace(*this, "downsample.1", out, Activation::identity, norm);
}

Tensor BasicBlock::forward(const Tensor& x) const {
  const Tensor y = conv_norm(conv2_, norm2_, conv_norm(conv1_, norm1_, x));
  return relu(y + (shortcut_ ? conv_norm(*shortcut_, *shortcut_norm_, x) : x));
}

ResNet::ResNet(const ResNetSpec& spec, int64_t classes, uint64_t seed) : Backbone(seed), spec_(spec) {
  add_parts(classes);
}

ResNet::ResNet(Module& parent, const std::string& name, const ResNetSpec& spec, int64_t classes)
    : Backbone(parent, name), spec_(spec) {
  add_parts(classes);
}

void ResNet::add_parts(int64_t classes) {
  Conv2dOptions stem = conv3x3(3, spec_.channels[0], 2);
  stem.kernel = 7;
  stem_ = std::make_unique<Conv2d>(*this, "conv1", stem);
  stem_norm_ = std::make_unique<BatchNorm>(*this, "bn1", spec_.channels[0], Activation::relu, spec_.norm);
  int64_t in = spec_.channels[0];
  for (size_t s = 0; s < 4; ++s)
    for (int i = 0; i < spec_.blocks[s]; ++i) {
      const int stride = s > 0 && i == 0 ? 2 : 1;
      stages_[s].push_back(std::make_unique<BasicBlock>(*this, fmt::format("layer{}.{}", s + 1, i), in,
                                                        spec_.channels[s], stride, spec_.norm));
      in = spec_.channels[s];
    }
  if (classes > 0) classifier_ = std::make_unique<Linear>(*this, "fc", in, classes);
}

Tensors ResNet::features(const Tensor& images) const {
  require(images.rank() == 4 && images.size(3) == 3, "[ResNet] images are {}, they must be (N, H, W, 3)",
          images.shape());
  Tensor x = max_pool2d(conv_norm(*stem_, *stem_norm_, images), {3, 2, Padding::symmetric});
  Tensors result;
  for (size_t s = 0; s < 4; ++s) {
    for (const auto& block : stages_[s]) x = block->forward(x);
    if (s > 0) result.push_back(x);
  }
  return result;
}

Tensor ResNet::forward(const Tensor& images) const {
  require(classifier_ != nullptr, "[ResNet] this network was made as a backbone, without a classifier");
  return classifier_->forward(global_average_pool(features(images).back()));
}

}  // namespace fovea
