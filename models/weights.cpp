#include "models/weights.h"

#include <algorithm>

namespace fovea {
namespace {

// Detectors keep their network of features under this name.
const std::string backbone_prefix = "backbone.";

bool is_class_head(const std::string& name) {
  return name.starts_with("class_net.predict.") || name.starts_with("classifier.");
}

template <class Named>
bool has_backbone(const std::vector<Named>& tensors, const std::string& prefix) {
  return std::any_of(tensors.begin(), tensors.end(),
                     [&](const Named& t) { return t.name.starts_with(prefix + backbone_prefix); });
}

}  // namespace

bool is_backbone(const std::string& name) {
  const std::string inside =
      (name.starts_with(backbone_prefix) ? name.substr(backbone_prefix.size()) : name) + ".";
  return inside.starts_with("conv_stem.") || inside.starts_with("bn1.") || inside.starts_with("blocks.");
}

LoadedWeights load_pretrained(const std::string& path, const Module& model) {
  const std::unique_ptr<WeightFile> opened = open_weight_file(path);
  const WeightFile& file = *opened;
  const bool is_checkpoint = file.metadata().contains("fovea_checkpoint");
  LoadOptions options;
  options.prefix = is_checkpoint ? "ema." : "";
  options.published_layouts = !is_checkpoint;
  const bool file_detects = has_backbone(file.entries(), options.prefix),
             model_detects = has_backbone(state_dict(model), "");
  options.rename = [=](const std::string& name) {
    if (file_detects && !model_detects && name.starts_with(backbone_prefix))
      return name.substr(backbone_prefix.size());
    return !file_detects && model_detects ? backbone_prefix + name : name;
  };
  // A classifier and a detector share only the backbone.
  options.optional = [=](const std::string& name) {
    return is_class_head(name) || (file_detects != model_detects && !is_backbone(name));
  };
  return load_weights(path, model, options);
}

int64_t classes_in_weights(const WeightFile& file, int anchors_per_cell) {
  if (const auto* bias = file.find("class_net.predict.conv_pw.bias"))
    return bias->shape.numel() / anchors_per_cell;
  if (const auto* bias = file.find("classifier.bias")) return bias->shape.numel();
  return 0;
}

}  // namespace fovea
