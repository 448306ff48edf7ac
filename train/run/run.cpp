#include "train/run/run.h"

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/file.h"
#include "core/parallel.h"
#include "core/processes.h"
#include "train/classification/classification_run.h"
#include "train/detection/detection_run.h"
#include "train/loop/initialization.h"
#include "train/parallel/data_parallel.h"
#include "train/parallel/mpi_processes.h"

namespace fovea {
namespace {

std::unique_ptr<TrainingRun::Work> make_work(TrainingState& state) {
  check_config(state.config);
  if (state.config.device == "cuda") join_devices();
  auto work = state.config.task == "detection" ? make_detection_work(state) : make_classification_work(state);
  freeze(work->task().model(), state.config);
  return work;
}

}  // namespace

bool holds_run(const std::string& folder) {
  return std::filesystem::exists(folder + "/last.safetensors") ||
         std::filesystem::exists(folder + "/config.json");
}

TrainingRun start_run(const TrainConfig& config, const std::string& folder) {
  require(!holds_run(folder),
          "{} already holds a run: choose another --run, or go on with it by `fovea train --resume {}`",
          folder, folder);
  TrainingState state;
  state.config = config;
  auto work = make_work(state);
  return {std::move(work), std::move(state), folder};
}

TrainingRun resume_run(const std::string& folder) {
  const std::string last = folder + "/last.safetensors", config_file = folder + "/config.json";
  TrainingState state;
  if (std::filesystem::exists(last)) {
    state.config = Checkpoint(last).state().config;
  } else {  // stopped before the first checkpoint: from the beginning
    require(std::filesystem::exists(config_file),
            "{} holds no run to resume: it has neither last.safetensors nor config.json", folder);
    state.config = config_from_json(read_file(config_file), config_file);
  }
  auto work = make_work(state);
  return {std::move(work), std::move(state), folder};
}

TrainingRun continue_run(const std::string& folder, const TrainConfig& asked,
                         const std::vector<std::string>& given) {
  TrainingRun run = resume_run(folder);
  // The run's settings with those asked for in their place: what was left open follows from them.
  const auto saved = nlohmann::ordered_json::parse(config_to_json(run.config()));
  const auto wanted = nlohmann::ordered_json::parse(config_to_json(asked));
  auto mixed = saved;
  for (const std::string& name : given) mixed[name] = wanted.at(name);
  const auto is_given = [&](const char* name) {
    return std::find(given.begin(), given.end(), name) != given.end();
  };
  if (is_given("epochs") && !is_given("steps")) mixed["steps"] = 0;
  // Depend on the pictures, and not on what resolve_config knows: 0 agrees with any choice.
  if (mixed["image_size"] == "0") mixed["image_size"] = saved["image_size"];
  if (mixed["anchor_scale"] == 0.0) mixed["anchor_scale"] = saved["anchor_scale"];
  TrainConfig config = config_from_json(mixed.dump(), "the command line");
  check_config(config);
  const auto resolved =
      nlohmann::ordered_json::parse(config_to_json(resolve_config(config, run.training_images())));
  for (const auto& [name, value] : saved.items()) {
    if (!is_given(name.c_str()) || resolved[name] == value) continue;
    if (name == "data" && std::filesystem::weakly_canonical(config.data) ==
                              std::filesystem::weakly_canonical(run.config().data))
      continue;
    std::string flag = name;
    std::replace(flag.begin(), flag.end(), '_', '-');
    fail(
        "{} already holds a run, of --{} {}, and {} is asked for: leave it out to go on with that run, or "
        "choose another --run",
        folder, flag, value.dump(), wanted.at(name).dump());
  }
  return run;
}

LearningRateSearch search_learning_rate(const TrainConfig& config, const TrainHooks& hooks) {
  TrainingState state;
  state.config = config;
  const auto work = make_work(state);
  initialize(work->task().model(), state.config);
  return find_learning_rate(work->task(), state.config, hooks);
}

}  // namespace fovea
