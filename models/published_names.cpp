#include "models/published_names.h"

#include <algorithm>
#include <optional>
#include <set>

#include "core/error.h"

namespace fovea {
namespace {

constexpr std::string_view backbone_prefix = "backbone.";
constexpr std::string_view zylo_backbone = "backbone_net.model.";

// "blocks.2.0.conv_dw.weight" -> {"blocks", "2", "0", "conv_dw", "weight"}
std::vector<std::string> split(const std::string& name) {
  std::vector<std::string> parts;
  for (size_t begin = 0; begin <= name.size();) {
    const size_t end = std::min(name.find('.', begin), name.size());
    parts.push_back(name.substr(begin, end - begin));
    begin = end + 1;
  }
  return parts;
}

// The others' names for the parts of our networks. In zylo117 a convolution is inside another module, whose
// name is `convolution`.
class Translation {
 public:
  Translation(const std::vector<std::string>& ours, PublishedNames names)
      : convolution_(names == PublishedNames::zylo117 ? ".conv" : "") {
    for (const std::string& name : ours) {
      const std::vector<std::string> parts = split(without_prefix(name));
      if (parts[0] != "blocks" || parts.size() < 5) continue;
      const std::pair block{std::stoi(parts[1]), std::stoi(parts[2])};
      blocks_.insert(block);
      if (parts[3] == "conv_pwl") expanding_.insert(block);
    }
  }

  static std::string without_prefix(const std::string& name) {
    return name.starts_with(backbone_prefix) ? name.substr(backbone_prefix.size()) : name;
  }

  // "conv_stem.weight", "blocks.1.0.bn2.running_var", "classifier.bias"
  std::optional<std::string> backbone(const std::string& name) const {
    const std::vector<std::string> parts = split(name);
    const std::string& last = parts.back();
    // zylo117's network ends before the classifier's head.
    if (!convolution_.empty() && (parts[0] == "conv_head" || parts[0] == "bn2" || parts[0] == "classifier"))
      return std::nullopt;
    if (parts[0] == "conv_stem" || parts[0] == "conv_head") return "_" + parts[0] + convolution_ + "." + last;
    if (parts[0] == "bn1") return "_bn0." + last;  // after the stem
    if (parts[0] == "bn2") return "_bn1." + last;  // after the head
    if (parts[0] == "classifier") return "_fc." + last;
    if (parts[0] != "blocks" || parts.size() < 5) return std::nullopt;
    const std::pair block{std::stoi(parts[1]), std::stoi(parts[2])};
    const auto index = std::distance(blocks_.begin(), blocks_.find(block));
    const bool expands = expanding_.contains(block);
    return fmt::format("_blocks.{}.{}.{}", index, block_part(parts[3], parts[4], expands), last);
  }

  // The neck and the heads of a detector, "fpn.cell.0.fnode.3.after_combine.conv.bn.weight"
  std::optional<std::string> detector(const std::string& name) const {
    const std::vector<std::string> parts = split(name);
    const std::string& last = parts.back();
    if (name.starts_with("fpn.resample.3.")) return "bifpn.0.p5_to_p6." + conv_or_norm(parts[4], last);
    if (name.starts_with("fpn.cell.")) return node(parts);
    if (parts[0] != "class_net" && parts[0] != "box_net") return std::nullopt;
    const std::string net = parts[0] == "class_net" ? "classifier." : "regressor.";
    if (parts[1] == "predict") return net + "header." + separable(parts[2], last);
    if (parts[1] == "conv_rep")
      return fmt::format("{}conv_list.{}.{}", net, parts[2], separable(parts[3], last));
    return fmt::format("{}bn_list.{}.{}.{}", net, parts[3], parts[2], last);  // bn_rep.<repeat>.<level>.bn
  }

 private:
  std::string block_part(const std::string& part, const std::string& inside, bool expands) const {
    if (part == "se") return (inside == "conv_reduce" ? "_se_reduce" : "_se_expand") + convolution_;
    if (part == "conv_dw") return "_depthwise_conv" + convolution_;
    // Without the expanding convolution, timm's numbers and names shift by one.
    if (part == "conv_pwl" || (part == "conv_pw" && !expands)) return "_project_conv" + convolution_;
    if (part == "conv_pw") return "_expand_conv" + convolution_;
    return fmt::format("_bn{}", part[2] - '1' + (expands ? 0 : 1));
  }

  static std::string separable(const std::string& part, const std::string& last) {
    return (part == "conv_dw" ? "depthwise_conv.conv." : "pointwise_conv.conv.") + last;
  }
  static std::string conv_or_norm(const std::string& part, const std::string& last) {
    return (part == "conv" ? "0.conv." : "1.") + last;
  }

  // fpn.cell.<cell>.fnode.<node>...: nodes 0 to 3 go down from P6 to P3, 4 to 7 up from P4 to P7.
  std::optional<std::string> node(const std::vector<std::string>& parts) const {
    const int index = std::stoi(parts[4]);
    if (index > 7) return std::nullopt;
    const bool down = index < 4;
    const int level = down ? 6 - index : index;
    const std::string cell = fmt::format("bifpn.{}.", parts[2]), &last = parts.back();
    if (last == "edge_weights") return fmt::format("{}p{}_w{}", cell, level, down ? 1 : 2);
    if (parts[6] == "resample")
      return fmt::format("{}p{}_down_channel{}.{}", cell, level, down ? "" : "_2",
                         conv_or_norm(parts[9], last));
    // after_combine.conv.conv_dw, .conv_pw, .bn
    const std::string conv = fmt::format("{}conv{}_{}.", cell, level, down ? "up" : "down");
    return conv + (parts[7] == "bn" ? "bn." + last : separable(parts[7], last));
  }

  std::string convolution_;
  std::set<std::pair<int, int>> blocks_, expanding_;  // stage and place in it
};

}  // namespace

std::string describe(PublishedNames names) {
  if (names == PublishedNames::efficientnet_pytorch) return "efficientnet_pytorch";
  return names == PublishedNames::zylo117 ? "zylo117's EfficientDet" : "timm and effdet";
}

PublishedNames published_names_of(const std::vector<std::string>& tensors) {
  const auto any = [&](std::string_view beginning) {
    return std::any_of(tensors.begin(), tensors.end(),
                       [&](const auto& name) { return name.starts_with(beginning); });
  };
  if (any(zylo_backbone)) return PublishedNames::zylo117;
  return any("_conv_stem.") ? PublishedNames::efficientnet_pytorch : PublishedNames::timm;
}

std::map<std::string, std::string> translate_names(const std::vector<std::string>& ours,
                                                   PublishedNames names) {
  std::map<std::string, std::string> result;
  const Translation translation(ours, names);
  const bool detector = std::any_of(ours.begin(), ours.end(),
                                    [](const auto& name) { return name.starts_with(backbone_prefix); });
  for (const std::string& name : ours) {
    if (names == PublishedNames::timm) {
      result[name] = name;
      continue;
    }
    const bool zylo = names == PublishedNames::zylo117,
               inside = !detector || name.starts_with(backbone_prefix);
    if (zylo && !inside) {
      if (const auto theirs = translation.detector(name)) result[name] = *theirs;
    } else if (const auto theirs = translation.backbone(Translation::without_prefix(name))) {
      result[name] = zylo ? std::string(zylo_backbone) + *theirs : *theirs;
    }
  }
  return result;
}

}  // namespace fovea
