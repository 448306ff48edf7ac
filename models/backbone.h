#pragma once
#include <cstdint>
#include <vector>

#include "models/normalization.h"
#include "nn/module.h"

namespace fovea {

// A network that computes features of images for a detector or a segmentation: EfficientNet, ResNet, or your
// own.
class Backbone : public Module {
 public:
  using Module::Module;

  // images (N, H, W, 3), normalised -> for each of feature_strides() one (N, ceil(H / s), ceil(W / s), C),
  // finest first, with the channels of feature_channels().
  virtual Tensors features(const Tensor& images) const = 0;
  virtual std::vector<int64_t> feature_channels() const = 0;
  // 8, 16 and 32: levels 3 to 5 of the pyramid, which EfficientDet extends to coarser ones.
  virtual std::vector<int64_t> feature_strides() const { return {8, 16, 32}; }
  virtual Normalization normalization() const { return {}; }  // that features() expects of its images
};

}  // namespace fovea
