#include "train/diagnose/memory.h"

#include <algorithm>
#include <fstream>

#include "core/dry_run.h"
#include "core/error.h"
#include "cuda/runtime/device.h"
#include "train/data/prefetch.h"
#include "train/loop/initialization.h"
#include "train/run/task_kind.h"

namespace fovea {
StepMemory step_memory(const TrainConfig& config, int64_t classes) {
  const Device device = parse_device(config.device);
  StepMemory memory;
  const DryRun dry;
  int64_t before = 0;
  // The bytes added since the last call.
  const auto more = [&] {
    const int64_t now = dry.memory(device).current, difference = now - before;
    before = now;
    return difference;
  };

  const Recipe recipe = make_recipe(config, classes);
  freeze(*recipe.model, config);
  Tensors constants;
  for (const Shape& shape : recipe.constants) constants.emplace_back(shape, DType::float32, device);
  memory.weights = more();
  Tensors optimizer, averages;
  for (const NamedTensor& p : recipe.model->parameters())
    for (int moment = 0; moment < (config.optimizer == "adamw" ? 2 : 1) && p.tensor.requires_grad(); ++moment)
      optimizer.push_back(empty_like(p.tensor));
  memory.optimizer = more();
  for (const NamedTensor& weight : state_dict(*recipe.model)) averages.push_back(empty_like(weight.tensor));
  memory.averages = more();
  // On the CPU the batches that are ready or being made share the memory with those in use.
  std::vector<Batch> waiting, batches;
  for (int64_t i = 0; i < workers_for(device, config.workers) + 2; ++i)
    waiting.push_back(recipe.empty_batch(Device::cpu));
  for (int64_t i = 0; i < config.accumulate; ++i) batches.push_back(recipe.empty_batch(device));
  memory.batches = more();

  const int64_t passes = std::min<int64_t>(config.accumulate, 2);  // later ones are like the second
  const ParameterCasts::Scope scope(recipe.casts);
  for (int64_t i = 0; i < passes; ++i) {
    const std::vector<NamedTensor> losses = recipe.losses_of(batches[size_t(i)]);
    if (i == 0) memory.activations = more();
    losses.front().tensor.backward();
  }
  for (const NamedTensor& p : recipe.model->parameters())
    if (p.tensor.grad().defined()) memory.gradients += p.tensor.grad().bytes();
  memory.peak = dry.memory(device).peak;
  memory.reserved = dry.memory(device).reserved;
  return memory;
}

int64_t largest_batch(TrainConfig config, int64_t classes, int64_t bytes) {
  constexpr int64_t most = 4096;  // as in check_config()
  const auto fits = [&](int64_t batch) {
    config.batch_size = batch;
    return step_memory(config, classes).reserved <= bytes;
  };
  int64_t good = 0, bad = 1;
  while (bad <= most && fits(bad)) good = std::exchange(bad, 2 * bad);
  bad = std::min(bad, most + 1);
  while (bad - good > 1) {
    const int64_t middle = (good + bad) / 2;
    (fits(middle) ? good : bad) = middle;
  }
  return good;
}

int64_t free_memory(Device device) {
  if (device == Device::cuda) return int64_t(cuda::free_memory_bytes());
  std::ifstream file("/proc/meminfo");
  for (std::string name, rest; file >> name && std::getline(file, rest);)
    if (name == "MemAvailable:") return std::stoll(rest) * 1024;
  fail("this system does not say how much memory is free: give a `limit`, such as 8GiB");
}

}  // namespace fovea
