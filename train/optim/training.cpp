#include "train/optim/training.h"

#include <charconv>

#include "core/error.h"
#include "nn/io/safetensors.h"
#include "nn/io/weights.h"

namespace fovea {
namespace {

constexpr const char* network_prefix = "network.";
constexpr const char* optimizer_prefix = "optimizer.";

const char* name_of(OptimizerOptions::Kind kind) {
  return kind == OptimizerOptions::Kind::sgd    ? "SGD"
         : kind == OptimizerOptions::Kind::adam ? "Adam"
                                                : "AdamW";
}

const std::string& metadata_of(const SafetensorsFile& file, const char* key) {
  const auto found = file.metadata().find(key);
  require(found != file.metadata().end(),
          "{} does not hold a training to continue: its metadata has no {}. Give a file that save_training() "
          "wrote",
          file.path(), key);
  return found->second;
}

uint64_t number_of(const SafetensorsFile& file, const char* key) {
  const std::string& text = metadata_of(file, key);
  uint64_t number = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, number);
  require(error == std::errc() && stop == end, "{}: its metadata is wrong: {} is \"{}\", not a whole number",
          file.path(), key, text);
  return number;
}

}  // namespace

void save_training(const std::string& path, const Module& network, const Optimizer& optimizer) {
  std::vector<NamedTensor> all;
  const auto add = [&](const char* prefix, const std::vector<NamedTensor>& tensors) {
    for (const NamedTensor& t : tensors) all.push_back({prefix + t.name, t.tensor.detach().to(Device::cpu)});
  };
  add(network_prefix, state_dict(network));
  add(optimizer_prefix, optimizer.state());
  const Random& random = network.rng();
  write_safetensors(path,
                    {{"optimizer", name_of(optimizer.kind())},
                     {"steps", std::to_string(optimizer.steps())},
                     {"random_seed", std::to_string(random.seed())},
                     {"random_stream", std::to_string(random.stream())},
                     {"random_position", std::to_string(random.position())}},
                    all);
}

void load_training(const std::string& path, const Module& network, Optimizer& optimizer) {
  const SafetensorsFile file(path);
  const std::string& kind = metadata_of(file, "optimizer");
  require(kind == name_of(optimizer.kind()),
          "{} holds a training with {}, but the given optimizer is {}: construct {} instead", path, kind,
          name_of(optimizer.kind()), kind);
  const uint64_t steps = number_of(file, "steps");
  Random random(number_of(file, "random_seed"), number_of(file, "random_stream"));
  random.set_position(number_of(file, "random_position"));

  const std::vector<NamedTensor> state = optimizer.state();
  std::vector<Tensor> numbers;  // all are read before any is changed
  for (const NamedTensor& t : state) {
    const SafetensorsFile::Entry* entry = file.find(optimizer_prefix + t.name);
    require(entry && entry->shape == t.tensor.shape(),
            "{} was saved with an optimizer of other parameters: {} is {} here, and {} in the file", path,
            t.name, t.tensor.shape(), entry ? entry->shape.to_string() : "missing");
    numbers.push_back(file.read_float32(*entry));
  }
  size_t in_file = 0;
  for (const SafetensorsFile::Entry& entry : file.entries())
    in_file += entry.name.starts_with(optimizer_prefix);
  require(in_file == state.size(),
          "{} was saved with an optimizer of other parameters: it has {} tensors, here {}", path, in_file,
          state.size());

  load_weights(path, network, {.prefix = network_prefix, .published_layouts = false});
  for (size_t i = 0; i < state.size(); ++i) state[i].tensor.copy_from(numbers[i]);
  optimizer.set_steps(int64_t(steps));
  network.rng() = random;
}

}  // namespace fovea
