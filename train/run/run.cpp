#include "train/run/run.h"

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "core/checksum.h"
#include "core/error.h"
#include "core/file.h"
#include "core/parallel.h"
#include "train/loop/initialization.h"
#include "train/loop/resolve_config.h"
#include "train/run/task_kind.h"

namespace fovea {
namespace {

// Identifies files and their order, whatever their names, by each file's size and its first and last 4096
// bytes.
std::string checksum_of_files(const std::vector<std::string>& files) {
  constexpr size_t part = 4096;
  Checksum sum;
  for (const std::string& path : files) {
    if (!is_file(path)) continue;
    const MappedFile file(path);
    const std::string_view bytes = file.content();
    sum.add(uint64_t(bytes.size()));
    for (const auto end : {bytes.substr(0, part), bytes.substr(bytes.size() - std::min(bytes.size(), part))})
      sum.add(end);
  }
  return sum.text();
}

std::unique_ptr<Task> make_task(TrainingState& state, ProcessGroup& group) {
  check_task_config(state.config);
  if (state.config.device == "cuda") group.select_device();
  state.config = with_kind_defaults(state.config);
  std::unique_ptr<Task> task = task_kind(state.config.task).make_task(state, group);
  freeze(task->model(), state.config);
  state.files_checksum = checksum_of_files(task->files());
  return task;
}

}  // namespace

bool holds_run(const std::string& folder) {
  return std::filesystem::exists(folder + "/last.safetensors") ||
         std::filesystem::exists(folder + "/config.json");
}

TrainingRun start_run(const TrainConfig& config, const std::string& folder, ProcessGroup& group) {
  require(!holds_run(folder),
          "{} already holds a run: choose another folder, or continue it with resume_run()", folder, folder);
  TrainingState state;
  state.config = config;
  auto task = make_task(state, group);
  return {std::move(task), std::move(state), folder, group};
}

TrainingRun resume_run(const std::string& folder, ProcessGroup& group, const std::string& data) {
  const std::string last = folder + "/last.safetensors", config_file = folder + "/config.json";
  TrainingState state;
  if (std::filesystem::exists(last)) {
    state.config = Checkpoint(last).state().config;
  } else {  // stopped before the first checkpoint: starts from the beginning
    require(std::filesystem::exists(config_file),
            "{} holds no run to resume: it has neither last.safetensors nor config.json", folder);
    state.config = config_from_json(read_file(config_file), config_file);
  }
  if (!data.empty()) state.config.data = data;
  auto task = make_task(state, group);
  return {std::move(task), std::move(state), folder, group};
}

TrainingRun continue_run(const std::string& folder, const TrainConfig& asked,
                         const std::vector<std::string>& given, ProcessGroup& group) {
  TrainingRun run = resume_run(folder, group);
  // The run's settings, overridden by the given ones; settings left open follow from these.
  const auto saved = nlohmann::ordered_json::parse(config_to_json(run.config()));
  const auto wanted = nlohmann::ordered_json::parse(config_to_json(asked));
  auto mixed = saved;
  for (const std::string& name : given) mixed[name] = wanted.at(name);
  const auto is_given = [&](const char* name) {
    return std::find(given.begin(), given.end(), name) != given.end();
  };
  if (is_given("epochs") && !is_given("steps")) mixed["steps"] = 0;
  // These depend on the images, which resolve_config does not have: 0 agrees with any choice.
  if (mixed["image_size"] == "0") mixed["image_size"] = saved["image_size"];
  if (mixed["anchor_scale"] == 0.0) mixed["anchor_scale"] = saved["anchor_scale"];
  TrainConfig config = config_from_json(mixed.dump(), "the command line");
  check_task_config(config);
  const auto resolved = nlohmann::ordered_json::parse(
      config_to_json(resolve_config(with_kind_defaults(config), run.training_images())));
  for (const auto& [name, value] : saved.items()) {
    if (!is_given(name.c_str()) || resolved[name] == value) continue;
    if (name == "data" && std::filesystem::weakly_canonical(config.data) ==
                              std::filesystem::weakly_canonical(run.config().data))
      continue;
    fail(
        "{} already holds a run with `{}` {}, but {} was given: leave it out to continue that run, or choose "
        "another `folder`",
        folder, name, value.dump(), wanted.at(name).dump());
  }
  return run;
}

LearningRateSearch search_learning_rate(const TrainConfig& config, const TrainHooks& hooks) {
  TrainingState state;
  state.config = config;
  const auto task = make_task(state, single_process());
  initialize(task->model(), state.config, state.class_names);
  return find_learning_rate(*task, state.config, hooks);
}

}  // namespace fovea
