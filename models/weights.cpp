#include "models/weights.h"

#include <algorithm>
#include <functional>
#include <map>

#include "core/error.h"
#include "nn/io/json.h"

namespace fovea {
namespace {

// The name of the backbone in a detector.
const std::string backbone_prefix = "backbone.";

bool is_class_head(const std::string& name) {
  return name.starts_with("class_net.predict.") || name.starts_with("classifier.");
}

// The tensors whose last axis is the classes; for a detector, the classes of each anchor in turn.
bool has_class_columns(const std::string& name) {
  return name.starts_with("class_net.predict.conv_pw.") || name.starts_with("classifier.");
}

// Brings the columns of the file's classes into the order of `names`, which are the same classes.
void reorder_class_columns(const Module& model, const std::vector<std::string>& in_file,
                           const std::vector<std::string>& names) {
  const NoGrad no_grad;
  std::vector<size_t> from;
  for (const std::string& name : names)
    from.push_back(size_t(std::find(in_file.begin(), in_file.end(), name) - in_file.begin()));
  for (const NamedTensor& weight : state_dict(model)) {
    if (!has_class_columns(weight.name)) continue;
    const Tensor old = weight.tensor.detach().to(Device::cpu).clone(), sorted = old.clone();
    const std::span<const float> source = old.span<float>();
    const std::span<float> target = sorted.span<float>();
    for (size_t i = 0; i < target.size(); ++i)
      target[i] = source[i - i % names.size() + from[i % names.size()]];
    weight.tensor.copy_from(sorted);
  }
}

bool has_backbone(const std::vector<std::string>& names) {
  return std::any_of(names.begin(), names.end(),
                     [](const std::string& name) { return name.starts_with(backbone_prefix); });
}

std::vector<std::string> names_of(const std::vector<NamedTensor>& tensors) {
  std::vector<std::string> names;
  for (const NamedTensor& t : tensors) names.push_back(t.name);
  return names;
}

// The names in a file that begin with the prefix, without it.
std::vector<std::string> names_of(const WeightFile& file, const std::string& prefix) {
  std::vector<std::string> names;
  for (const WeightFile::Entry& entry : file.entries())
    if (entry.name.starts_with(prefix)) names.push_back(entry.name.substr(prefix.size()));
  return names;
}

// From the names in a file to Fovea's, for tensors that the model has; others keep theirs.
std::function<std::string(const std::string&)> to_ours(const std::vector<std::string>& model,
                                                       PublishedNames names) {
  if (names == PublishedNames::timm) return [](const std::string& name) { return name; };
  std::map<std::string, std::string> known;
  for (const auto& [ours, theirs] : translate_names(model, names)) known[theirs] = ours;
  return [known](const std::string& name) {
    const auto found = known.find(name);
    return found == known.end() ? name : found->second;
  };
}

}  // namespace

bool is_backbone(const std::string& name) {
  const std::string inside =
      (name.starts_with(backbone_prefix) ? name.substr(backbone_prefix.size()) : name) + ".";
  return inside.starts_with("conv_stem.") || inside.starts_with("bn1.") || inside.starts_with("blocks.");
}

std::vector<std::string> class_names_in(const WeightFile& file) {
  const auto found = file.metadata().find("class_names");
  if (found == file.metadata().end()) return {};
  try {
    return parse_json(found->second, file.path(), "JSON").get<std::vector<std::string>>();
  } catch (const std::exception&) {  // metadata of another program, in another form
    return {};
  }
}

LoadedWeights load_published(const std::string& path, const Module& model) {
  const std::unique_ptr<WeightFile> file = open_weight_file(path);
  const std::vector<NamedTensor> tensors = state_dict(model);
  const PublishedNames names = published_names_of(names_of(*file, wrapper_prefix(*file, tensors)));
  return load_weights(path, model, {.rename = to_ours(names_of(tensors), names)});
}

LoadedWeights load_pretrained(const std::string& path, const Module& model,
                              const std::vector<std::string>& class_names) {
  const std::unique_ptr<WeightFile> file = open_weight_file(path);
  const bool is_checkpoint = file->metadata().contains("fovea_checkpoint");
  const std::vector<NamedTensor> tensors = state_dict(model);
  LoadOptions options;
  options.prefix = is_checkpoint ? "ema." : wrapper_prefix(*file, tensors);
  options.published_layouts = !is_checkpoint;
  const std::vector<std::string> in_file = names_of(*file, options.prefix);
  const PublishedNames names = published_names_of(in_file);
  const bool file_detects = names == PublishedNames::zylo117 || has_backbone(in_file),
             model_detects = has_backbone(names_of(tensors));
  const std::vector<std::string> classes = class_names_in(*file);
  const bool known = !classes.empty() && !class_names.empty(),
             same_names = !known || std::is_permutation(classes.begin(), classes.end(), class_names.begin(),
                                                        class_names.end());
  const std::string other_classes = "other classes: ";
  options.rename = [=, ours = to_ours(names_of(tensors), names)](const std::string& theirs) {
    const std::string name = ours(theirs);
    if (!same_names && has_class_columns(name)) return other_classes + name;
    if (names != PublishedNames::timm) return name;  // the translation depends on the model
    if (file_detects && !model_detects && name.starts_with(backbone_prefix))
      return name.substr(backbone_prefix.size());
    return !file_detects && model_detects ? backbone_prefix + name : name;
  };
  // A classifier and a detector share only the backbone.
  options.optional = [=](const std::string& name) {
    return is_class_head(name) || name.starts_with(other_classes) ||
           (file_detects != model_detects && !is_backbone(name));
  };
  LoadedWeights loaded = load_weights(path, model, options);
  if (names != PublishedNames::timm) loaded.metadata["names"] = describe(names);
  if (known && same_names && classes != class_names && file_detects == model_detects)
    reorder_class_columns(model, classes, class_names);
  return loaded;
}

void save_published(const std::string& path, const Module& model, PublishedNames names,
                    std::map<std::string, std::string> metadata) {
  std::vector<NamedTensor> weights = published_weights(model);
  const std::map<std::string, std::string> theirs = translate_names(names_of(weights), names);
  for (NamedTensor& weight : weights) {
    const auto found = theirs.find(weight.name);
    require(found != theirs.end(), "{} cannot have the names of {}: it has no place for {}", path,
            describe(names), weight.name);
    weight.name = found->second;
  }
  metadata.emplace("format", "pt");  // required by transformers and timm
  write_safetensors(path, metadata, weights);
}

int64_t classes_in_weights(const WeightFile& file, int anchors_per_cell) {
  const std::string prefix = wrapper_prefix(file);
  for (const char* name : {"class_net.predict.conv_pw.bias", "classifier.header.pointwise_conv.conv.bias"})
    if (const auto* bias = file.find(prefix + name)) return bias->shape.numel() / anchors_per_cell;
  for (const char* name : {"classifier.bias", "_fc.bias"})
    if (const auto* bias = file.find(prefix + name)) return bias->shape.numel();
  return 0;
}

}  // namespace fovea
