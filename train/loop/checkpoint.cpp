#include "train/loop/checkpoint.h"

#include <limits>

#include "core/checksum.h"
#include "core/error.h"
#include "nn/io/json.h"
#include "nn/io/safetensors.h"

namespace fovea {
namespace {

// Detects a flipped bit in a file of the right length.
std::string checksum(const std::vector<NamedTensor>& tensors) {
  Checksum sum;
  for (const NamedTensor& t : tensors)
    sum.add(std::string_view(reinterpret_cast<const char*>(t.tensor.raw()), size_t(t.tensor.bytes())));
  return sum.text();
}

// nlohmann::json would round any number to an integer, and turn one that does not fit into another.
template <class T>
T whole_number(const nlohmann::json& value, const std::string& path, const char* field) {
  const bool fits = value.is_number_unsigned()
                        ? value.get<uint64_t>() <= uint64_t(std::numeric_limits<T>::max())
                        : value.is_number_integer() && value.get<int64_t>() >= std::numeric_limits<T>::min();
  require(fits, "{}: its metadata is wrong: {} in {} is not a whole number, or is too large", path,
          value.dump(), field);
  return value.get<T>();
}

}  // namespace

void save_checkpoint(const std::string& path, const TrainingState& state,
                     const std::vector<NamedTensor>& model, const std::vector<NamedTensor>& ema,
                     const std::vector<NamedTensor>& optimizer) {
  std::vector<NamedTensor> all;
  const auto add = [&](const char* prefix, const std::vector<NamedTensor>& tensors) {
    for (const NamedTensor& t : tensors) all.push_back({prefix + t.name, t.tensor.detach().to(Device::cpu)});
  };
  add("model.", model);
  add("ema.", ema);
  add("optimizer.", optimizer);
  std::map<std::string, std::string> metadata{
      {"fovea_checkpoint", "1"},
      {"config", config_to_json(state.config)},
      {"class_names", dump_json(nlohmann::json(state.class_names))},
      {"category_ids", nlohmann::json(state.category_ids).dump()},
      {"labels_checksum", state.labels_checksum},
      {"files_checksum", state.files_checksum},
      {"step", std::to_string(state.step)},
      {"measured_since_best", std::to_string(state.measured_since_best)},
      {"checksum", checksum(all)}};
  if (state.best) metadata["best"] = nlohmann::json(*state.best).dump();
  write_safetensors(path, metadata, all);
}

Checkpoint::Checkpoint(const std::string& path) : path_(path) {
  TensorFile file = read_safetensors(path);
  const auto text = [&](const char* key) -> const std::string& {
    const auto found = file.metadata.find(key);
    require(found != file.metadata.end(),
            "{} is not a Fovea checkpoint: its metadata has no {}. Give a file that `fovea train` wrote, "
            "such as runs/1/best.safetensors",
            path, key);
    return found->second;
  };
  require(text("fovea_checkpoint") == "1",
          "{} was written by another version of Fovea (checkpoint format {}, this one reads 1)", path,
          text("fovea_checkpoint"));
  require(text("checksum") == checksum(file.tensors),
          "{} was altered after it was written: the checksum of its numbers does not match", path);
  state_.config = config_from_json(text("config"), path);
  const auto value = [&](const char* key) {
    return parse_json(text(key), fmt::format("{}: cannot read its metadata: {}", path, key), "JSON");
  };
  try {
    state_.class_names = value("class_names").get<std::vector<std::string>>();
    for (const auto& id : value("category_ids").get<std::vector<nlohmann::json>>())
      state_.category_ids.push_back(whole_number<int>(id, path, "category_ids"));
    state_.step = whole_number<int64_t>(value("step"), path, "step");
    state_.labels_checksum = file.metadata["labels_checksum"];  // "" where there is none
    state_.files_checksum = file.metadata["files_checksum"];
    if (file.metadata.contains("best"))  // not before the first validation
      state_.best = value("best").get<double>();
    if (file.metadata.contains("measured_since_best"))  // not in files older than `patience`
      state_.measured_since_best =
          whole_number<int64_t>(value("measured_since_best"), path, "measured_since_best");
  } catch (const nlohmann::json::exception& error) {
    fail("{}: cannot read its metadata: {}", path, error.what());
  }
  require(!state_.class_names.empty() && state_.class_names.size() == state_.category_ids.size() &&
              state_.step >= 0,
          "{}: its metadata is wrong: {} class names, {} category ids, step {}", path,
          state_.class_names.size(), state_.category_ids.size(), state_.step);
  for (NamedTensor& t : file.tensors) tensors_.emplace(std::move(t.name), std::move(t.tensor));
}

void Checkpoint::restore(const std::string& prefix, const std::vector<NamedTensor>& into) const {
  for (const NamedTensor& target : into) {
    const auto found = tensors_.find(prefix + target.name);
    require(found != tensors_.end(), "{} is a checkpoint of another model: it has no tensor {}{}", path_,
            prefix, target.name);
    const Tensor& source = found->second;
    require(source.shape() == target.tensor.shape() && source.dtype() == target.tensor.dtype(),
            "{} is a checkpoint of another model: its tensor {}{} is {} of {}, here it is {} of {}", path_,
            prefix, target.name, source.dtype(), source.shape(), target.tensor.dtype(),
            target.tensor.shape());
    target.tensor.copy_from(source);
  }
}

}  // namespace fovea
