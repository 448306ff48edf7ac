#include "models/weights.h"

#include <algorithm>

#include "core/error.h"

namespace fovea {
namespace {

constexpr const char* backbone_prefix = "backbone.";

// The shape that a published file gives a weight of ours.
Shape published_shape(const Shape& ours, WeightLayout layout) {
  switch (layout) {
    case WeightLayout::linear:
      return {ours[1], ours[0]};
    case WeightLayout::pointwise:
      return {ours[1], ours[0], 1, 1};
    case WeightLayout::depthwise:
      return {ours[2], 1, ours[0], ours[1]};
    case WeightLayout::dense:
      return {ours[3], ours[2], ours[0], ours[1]};
    default:
      return ours;
  }
}

}  // namespace

// In each layout but `same`, a published weight is ours as a matrix, transposed: its first size is our last.
// (A dense weight is k k matrices of (in, out), published as (out, in, k k): the inner two change places,
// too.)
Tensor to_published(const Tensor& ours, WeightLayout layout) {
  if (layout == WeightLayout::same) return ours.detach();
  const int64_t out = ours.size(-1), rest = ours.numel() / out;
  const int64_t in = layout == WeightLayout::dense ? ours.size(2) : 1, taps = rest / in;
  Tensor result(published_shape(ours.shape(), layout));
  const float* from = ours.data<float>();
  float* to = result.data<float>();
  for (int64_t o = 0; o < out; ++o)
    for (int64_t i = 0; i < in; ++i)
      for (int64_t t = 0; t < taps; ++t) to[(o * in + i) * taps + t] = from[(t * in + i) * out + o];
  return result;
}

namespace {

Tensor from_published(const Tensor& published, const Shape& ours, WeightLayout layout) {
  if (layout == WeightLayout::same) return published;
  const int64_t out = ours[-1], rest = published.numel() / out;
  const int64_t in = layout == WeightLayout::dense ? ours[2] : 1, taps = rest / in;
  Tensor result(ours);
  const float* from = published.data<float>();
  float* to = result.data<float>();
  for (int64_t t = 0; t < taps; ++t)
    for (int64_t i = 0; i < in; ++i)
      for (int64_t o = 0; o < out; ++o) to[(t * in + i) * out + o] = from[(o * in + i) * taps + t];
  return result;
}

// Detectors keep their network of features under this name.
template <class Named>
bool has_backbone(const std::vector<Named>& tensors, const std::string& inside = "") {
  return std::any_of(tensors.begin(), tensors.end(),
                     [&](const Named& t) { return t.name.starts_with(inside + backbone_prefix); });
}

// One tensor of a file under the name that the model would give it.
struct Source {
  const SafetensorsFile::Entry* entry;
  bool used = false;
};

// A file's tensors by the model's names. Checkpoints of ours hold "ema.<name>" in our own layouts.
class Sources {
 public:
  Sources(const SafetensorsFile& file, const std::vector<NamedTensor>& model)
      : file_(file), ours_(file.metadata().contains("fovea_checkpoint")) {
    const std::string inside = ours_ ? "ema." : "";
    const bool file_detects = has_backbone(file.entries(), inside), model_detects = has_backbone(model);
    const size_t prefix = std::string(backbone_prefix).size();
    for (const auto& entry : file.entries()) {
      if (!entry.name.starts_with(inside) || entry.name.ends_with("num_batches_tracked")) continue;
      std::string name = entry.name.substr(inside.size());
      if (file_detects && !model_detects && name.starts_with(backbone_prefix)) name = name.substr(prefix);
      if (!file_detects && model_detects) name = backbone_prefix + name;
      by_name_.emplace(name, Source{&entry});
    }
    other_kind_ = file_detects != model_detects;
  }

  // Of a classifier for a detector, or the other way round: they share the backbone only.
  bool other_kind() const { return other_kind_; }

  Source* find(const std::string& name) {
    const auto found = by_name_.find(name);
    return found == by_name_.end() ? nullptr : &found->second;
  }
  Shape shape_for(const NamedTensor& weight) const {
    return ours_ ? weight.tensor.shape() : published_shape(weight.tensor.shape(), weight.layout);
  }
  Tensor read(const Source& source, const NamedTensor& weight) const {
    const Tensor numbers = file_.read_float32(*source.entry);
    return ours_ ? numbers : from_published(numbers, weight.tensor.shape(), weight.layout);
  }
  // Those that the model has no tensor for: f(name the model would give it, name in the file).
  template <class F>
  void each_unused(F&& f) const {
    for (const auto& [name, source] : by_name_)
      if (!source.used) f(name, source.entry->name);
  }

 private:
  const SafetensorsFile& file_;
  bool ours_, other_kind_ = false;
  std::map<std::string, Source> by_name_;
};

bool is_class_head(const std::string& name) {
  return name.starts_with("class_net.predict.") || name.starts_with("classifier.");
}

std::string listed(const char* what, const std::vector<std::string>& names) {
  constexpr size_t shown = 6;
  if (names.empty()) return "";
  const size_t count = std::min(shown, names.size());
  return fmt::format("\n  {} {}: {}{}", names.size(), what,
                     fmt::join(names.begin(), names.begin() + long(count), ", "),
                     names.size() > shown ? ", ..." : "");
}

WeightsTaken take(const std::string& path, const Module& model, bool tolerant) {
  const SafetensorsFile file(path);
  const std::vector<NamedTensor> weights = state_dict(model);
  Sources sources(file, weights);
  WeightsTaken taken;
  std::vector<std::string> missing, mismatched;
  std::vector<std::pair<const NamedTensor*, Source*>> pairs;
  const auto may_differ = [&](const std::string& name) {
    return tolerant && (is_class_head(name) || (sources.other_kind() && !is_backbone(name)));
  };
  for (const NamedTensor& weight : weights) {
    Source* source = sources.find(weight.name);
    const bool stays = may_differ(weight.name);
    if (!source) {
      (stays ? taken.fresh : missing).push_back(weight.name);
      continue;
    }
    source->used = true;
    if (const Shape wanted = sources.shape_for(weight); source->entry->shape != wanted) {
      if (stays)
        taken.fresh.push_back(weight.name);
      else
        mismatched.push_back(fmt::format("{} ({}, here {})", weight.name, source->entry->shape, wanted));
    } else {
      pairs.emplace_back(&weight, source);
    }
  }
  std::vector<std::string> unexpected;
  sources.each_unused([&](const std::string& name, const std::string& in_file) {
    (may_differ(name) ? taken.unused : unexpected).push_back(in_file);
  });
  require(missing.empty() && mismatched.empty() && unexpected.empty(),
          "{} holds the weights of another model; choose the one they belong to:{}{}{}", path,
          listed("tensors are missing in the file", missing),
          listed("have another shape in the file", mismatched),
          listed("of the file have no place in the model", unexpected));
  std::vector<Tensor> numbers;  // all are read before any is changed
  for (const auto& [weight, source] : pairs) numbers.push_back(sources.read(*source, *weight));
  for (size_t i = 0; i < pairs.size(); ++i) pairs[i].first->tensor.copy_from(numbers[i]);
  taken.tensors = pairs.size();
  return taken;
}

}  // namespace

bool is_backbone(const std::string& name) {
  const std::string prefix = backbone_prefix;
  const std::string inside = (name.starts_with(prefix) ? name.substr(prefix.size()) : name) + ".";
  return inside.starts_with("conv_stem.") || inside.starts_with("bn1.") || inside.starts_with("blocks.");
}

std::vector<NamedTensor> published_weights(const Module& model) {
  std::vector<NamedTensor> result;
  for (const NamedTensor& weight : state_dict(model))
    result.push_back({weight.name, to_published(weight.tensor.detach().to(Device::cpu), weight.layout)});
  return result;
}

void save_weights(const std::string& path, const Module& model,
                  const std::map<std::string, std::string>& metadata) {
  std::map<std::string, std::string> all = metadata;
  all.emplace("format", "pt");  // what transformers and timm look for
  write_safetensors(path, all, published_weights(model));
}

void load_weights(const std::string& path, const Module& model) { take(path, model, false); }

WeightsTaken load_pretrained(const std::string& path, const Module& model) { return take(path, model, true); }

int64_t classes_in_weights(const SafetensorsFile& file, int anchors_per_cell) {
  if (const auto* bias = file.find("class_net.predict.conv_pw.bias"))
    return bias->shape.numel() / anchors_per_cell;
  if (const auto* bias = file.find("classifier.bias")) return bias->shape.numel();
  return 0;
}

}  // namespace fovea
