#pragma once
#include <map>
#include <string>
#include <vector>

#include "nn/module.h"

namespace fovea {

// The naming scheme of the tensors in a file of published weights.
enum class PublishedNames {
  timm,                  // timm's and effdet's, which are Fovea's own
  efficientnet_pytorch,  // lukemelas', "_blocks.0._depthwise_conv.weight"
  zylo117                // the EfficientDet that grew on it, "backbone_net.model._conv_stem.conv.weight"
};

// For messages: "timm and effdet", "efficientnet_pytorch", "zylo117's EfficientDet".
std::string describe(PublishedNames names);

// The scheme of these names; timm if they match none of the others.
PublishedNames published_names_of(const std::vector<std::string>& tensors);

// The name of each of these tensors of an EfficientNet or EfficientDet, by Fovea's name for it. For
// efficientnet_pytorch the backbone's tensors may have the prefix "backbone.", as in a detector. Tensors that
// the others' networks do not have are left out: a detector's neck and heads in efficientnet_pytorch, a
// classifier's head and a level P8 in zylo117.
//
// Sources: https://github.com/lukemelas/EfficientNet-PyTorch (efficientnet_pytorch/model.py),
// https://github.com/zylo117/Yet-Another-EfficientDet-Pytorch (backbone.py, efficientdet/model.py).
std::map<std::string, std::string> translate_names(const std::vector<std::string>& ours,
                                                   PublishedNames names);

}  // namespace fovea
