#include "nn/io/weights.h"

#include <algorithm>
#include <map>

#include "core/error.h"

namespace fovea {
namespace {

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

// In each layout but `same`, a published weight is our matrix transposed: its first size is our last. (A
// dense weight is k k matrices of (in, out), published as (out, in, k k): the inner two are exchanged as
// well.)
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

std::string listed(const char* what, const std::vector<std::string>& names) {
  constexpr size_t shown = 6;
  if (names.empty()) return "";
  const size_t count = std::min(shown, names.size());
  return fmt::format("\n  {} {}: {}{}", names.size(), what,
                     fmt::join(names.begin(), names.begin() + long(count), ", "),
                     names.size() > shown ? ", ..." : "");
}

// A tensor of a file, and whether it has a place in the model.
struct Source {
  const WeightFile::Entry* entry;
  bool used = false;
};

}  // namespace

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

std::string wrapper_prefix(const WeightFile& file, const std::vector<NamedTensor>& model) {
  std::string prefix;
  const auto begins = [&](const auto& named) { return named.name.starts_with(prefix); };
  for (bool longer = !file.entries().empty(); longer;) {
    longer = false;
    for (const char* wrapper : {"module.", "model.", "_orig_mod."}) {
      const std::string shorter = prefix;
      prefix += wrapper;
      longer = std::all_of(file.entries().begin(), file.entries().end(), begins) &&
               std::none_of(model.begin(), model.end(), begins);
      if (longer) break;
      prefix = shorter;
    }
  }
  return prefix;
}

LoadedWeights load_weights(const std::string& path, const Module& model, const LoadOptions& options) {
  const std::unique_ptr<WeightFile> file = open_weight_file(path);
  const std::string prefix =
      options.prefix.empty() ? wrapper_prefix(*file, state_dict(model)) : options.prefix;
  std::map<std::string, Source> sources;  // by the model's names
  for (const WeightFile::Entry& entry : file->entries()) {
    if (!entry.name.starts_with(prefix) || entry.name.ends_with("num_batches_tracked")) continue;
    const std::string name = entry.name.substr(prefix.size());
    sources.emplace(options.rename ? options.rename(name) : name, Source{&entry});
  }
  const auto is_optional = [&](const std::string& name) {
    return options.optional && options.optional(name);
  };
  const auto layout_of = [&](const NamedTensor& weight) {
    return options.published_layouts ? weight.layout : WeightLayout::same;
  };

  LoadedWeights loaded{.metadata = file->metadata()};
  std::vector<std::string> missing, mismatched, unexpected;
  std::vector<std::pair<NamedTensor, const WeightFile::Entry*>> pairs;
  for (const NamedTensor& weight : state_dict(model)) {
    const auto found = sources.find(weight.name);
    const bool stays = is_optional(weight.name);
    if (found == sources.end()) {
      (stays ? loaded.fresh : missing).push_back(weight.name);
      continue;
    }
    found->second.used = true;
    const WeightFile::Entry* entry = found->second.entry;
    const Shape wanted = published_shape(weight.tensor.shape(), layout_of(weight));
    if (entry->shape == wanted)
      pairs.emplace_back(weight, entry);
    else if (stays)
      loaded.fresh.push_back(weight.name);
    else
      mismatched.push_back(fmt::format("{} ({}, here {})", weight.name, entry->shape, wanted));
  }
  for (const auto& [name, source] : sources)
    if (!source.used) (is_optional(name) ? loaded.unused : unexpected).push_back(source.entry->name);
  // A head for other classes differs in only a few of the tensors.
  const size_t faults = missing.size() + mismatched.size() + unexpected.size();
  const std::string all_but_a_head =
      faults * 4 <= pairs.size()
          ? fmt::format(
                "\n  the other {} tensors fit: name these in `LoadOptions::optional` to leave them out; "
                "load_pretrained() does so for the class heads of EfficientNet and EfficientDet",
                pairs.size())
          : "";
  require(faults == 0, "{} holds the weights of another model; choose the one they belong to:{}{}{}{}", path,
          listed("tensors are missing in the file", missing),
          listed("have another shape in the file", mismatched),
          listed("of the file have no place in the model", unexpected), all_but_a_head);
  std::vector<Tensor> numbers;  // all are read before any is changed
  for (const auto& [weight, entry] : pairs)
    numbers.push_back(from_published(file->read_float32(*entry), weight.tensor.shape(), layout_of(weight)));
  for (size_t i = 0; i < pairs.size(); ++i) pairs[i].first.tensor.copy_from(numbers[i]);
  loaded.tensors = pairs.size();
  return loaded;
}

}  // namespace fovea
