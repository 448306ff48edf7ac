#include "models/weights.h"

#include <algorithm>

#include "nn/io/json.h"

namespace fovea {
namespace {

// Detectors keep their network of features under this name.
const std::string backbone_prefix = "backbone.";

bool is_class_head(const std::string& name) {
  return name.starts_with("class_net.predict.") || name.starts_with("classifier.");
}

// The tensors of it whose last axis are classes: those of each anchor in turn, for a detector.
bool has_class_columns(const std::string& name) {
  return name.starts_with("class_net.predict.conv_pw.") || name.starts_with("classifier.");
}

// Brings the columns of the file's classes into the order of `names`, which are the same.
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

std::vector<std::string> class_names_in(const SafetensorsFile& file) {
  const auto found = file.metadata().find("class_names");
  if (found == file.metadata().end()) return {};
  try {
    return parse_json(found->second, file.path(), "JSON").get<std::vector<std::string>>();
  } catch (const std::exception&) {  // metadata of another program, in a form of its own
    return {};
  }
}

LoadedWeights load_pretrained(const std::string& path, const Module& model,
                              const std::vector<std::string>& class_names) {
  const SafetensorsFile file(path);
  const bool is_checkpoint = file.metadata().contains("fovea_checkpoint");
  LoadOptions options;
  options.prefix = is_checkpoint ? "ema." : wrapper_prefix(file, state_dict(model));
  options.published_layouts = !is_checkpoint;
  const bool file_detects = has_backbone(file.entries(), options.prefix),
             model_detects = has_backbone(state_dict(model), "");
  const std::vector<std::string> in_file = class_names_in(file);
  const bool known = !in_file.empty() && !class_names.empty(),
             same_names = !known || std::is_permutation(in_file.begin(), in_file.end(), class_names.begin(),
                                                        class_names.end());
  const std::string other_classes = "other classes: ";
  options.rename = [=](const std::string& name) {
    if (!same_names && has_class_columns(name)) return other_classes + name;
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
  if (known && same_names && in_file != class_names && file_detects == model_detects)
    reorder_class_columns(model, in_file, class_names);
  return loaded;
}

int64_t classes_in_weights(const SafetensorsFile& file, int anchors_per_cell) {
  const std::string prefix = wrapper_prefix(file);
  if (const auto* bias = file.find(prefix + "class_net.predict.conv_pw.bias"))
    return bias->shape.numel() / anchors_per_cell;
  if (const auto* bias = file.find(prefix + "classifier.bias")) return bias->shape.numel();
  return 0;
}

}  // namespace fovea
