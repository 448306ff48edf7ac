#include "models/weights.h"

#include <algorithm>
#include <map>

#include "core/error.h"

namespace fovea {
namespace {

// Detectors keep their network of features under this name.
const std::string backbone_prefix = "backbone.";

bool is_class_head(const std::string& name) {
  return name.starts_with("class_net.predict.") || name.starts_with("classifier.");
}

bool has_backbone(const std::vector<std::string>& names, const std::string& prefix) {
  return std::any_of(names.begin(), names.end(),
                     [&](const std::string& name) { return name.starts_with(prefix + backbone_prefix); });
}

template <class Named>
std::vector<std::string> names_of(const std::vector<Named>& tensors) {
  std::vector<std::string> names;
  for (const Named& t : tensors) names.push_back(t.name);
  return names;
}

// From the names in a file to Fovea's, for tensors that the model has.
std::map<std::string, std::string> to_ours(const std::vector<std::string>& model, PublishedNames names) {
  std::map<std::string, std::string> result;
  for (const auto& [ours, theirs] : translate_names(model, names)) result[theirs] = ours;
  return result;
}

}  // namespace

bool is_backbone(const std::string& name) {
  const std::string inside =
      (name.starts_with(backbone_prefix) ? name.substr(backbone_prefix.size()) : name) + ".";
  return inside.starts_with("conv_stem.") || inside.starts_with("bn1.") || inside.starts_with("blocks.");
}

LoadedWeights load_published(const std::string& path, const Module& model) {
  const PublishedNames names = published_names_of(names_of(open_weight_file(path)->entries()));
  if (names == PublishedNames::timm) return load_weights(path, model);
  LoadOptions options;
  options.rename = [known = to_ours(names_of(state_dict(model)), names)](const std::string& name) {
    const auto found = known.find(name);
    return found == known.end() ? name : found->second;
  };
  return load_weights(path, model, options);
}

LoadedWeights load_pretrained(const std::string& path, const Module& model) {
  const std::unique_ptr<WeightFile> file = open_weight_file(path);
  const bool is_checkpoint = file->metadata().contains("fovea_checkpoint");
  LoadOptions options;
  options.prefix = is_checkpoint ? "ema." : "";
  options.published_layouts = !is_checkpoint;
  const std::vector<std::string> in_file = names_of(file->entries()), in_model = names_of(state_dict(model));
  const PublishedNames names = published_names_of(in_file);
  const bool file_detects = names == PublishedNames::zylo117 || has_backbone(in_file, options.prefix),
             model_detects = has_backbone(in_model, "");
  options.rename = [=, known = to_ours(in_model, names)](const std::string& name) {
    if (names != PublishedNames::timm) {
      const auto found = known.find(name);
      return found == known.end() ? name : found->second;
    }
    if (file_detects && !model_detects && name.starts_with(backbone_prefix))
      return name.substr(backbone_prefix.size());
    return !file_detects && model_detects ? backbone_prefix + name : name;
  };
  // A classifier and a detector share only the backbone.
  options.optional = [=](const std::string& name) {
    return is_class_head(name) || (file_detects != model_detects && !is_backbone(name));
  };
  LoadedWeights loaded = load_weights(path, model, options);
  if (names != PublishedNames::timm) loaded.metadata["names"] = describe(names);
  return loaded;
}

void save_published(const std::string& path, const Module& model, PublishedNames names) {
  std::vector<NamedTensor> weights = published_weights(model);
  const std::map<std::string, std::string> theirs = translate_names(names_of(weights), names);
  for (NamedTensor& weight : weights) {
    const auto found = theirs.find(weight.name);
    require(found != theirs.end(), "{} cannot have the names of {}: it has no place for {}", path,
            describe(names), weight.name);
    weight.name = found->second;
  }
  write_safetensors(path, {{"format", "pt"}}, weights);
}

int64_t classes_in_weights(const WeightFile& file, int anchors_per_cell) {
  for (const char* name : {"class_net.predict.conv_pw.bias", "classifier.header.pointwise_conv.conv.bias"})
    if (const auto* bias = file.find(name)) return bias->shape.numel() / anchors_per_cell;
  for (const char* name : {"classifier.bias", "_fc.bias"})
    if (const auto* bias = file.find(name)) return bias->shape.numel();
  return 0;
}

}  // namespace fovea
