#include "train/run.h"

#include <filesystem>

#include "core/error.h"
#include "core/file.h"
#include "train/classification_run.h"
#include "train/detection_run.h"
#include "train/initialization.h"

namespace fovea {
namespace {

std::unique_ptr<TrainingRun::Work> make_work(TrainingState& state) {
  check_config(state.config);
  auto work = state.config.task == "detection" ? make_detection_work(state) : make_classification_work(state);
  freeze(work->task().model(), state.config);
  return work;
}

}  // namespace

TrainingRun::TrainingRun(std::unique_ptr<Work> work, TrainingState state, std::string folder)
    : work_(std::move(work)), state_(std::move(state)), folder_(std::move(folder)) {
  // Before anything is written; a run that goes on has its weights in its last checkpoint.
  if (!std::filesystem::exists(folder_ + "/last.safetensors"))
    start_ = initialize(work_->task().model(), state_.config);
}

std::string TrainingRun::description() {
  return work_->description() + (start_.empty() ? "" : "; " + start_);
}

bool TrainingRun::train(const TrainHooks& hooks) {
  const std::string last = folder_ + "/last.safetensors";
  trainer_ = std::make_unique<Trainer>(work_->task(), state_, folder_, hooks);
  if (std::filesystem::exists(last)) {
    trainer_->resume(Checkpoint(last));
  } else {
    create_folder(folder_);
    work_->begin(folder_);
  }
  return trainer_->run();
}

TrainingRun start_run(const TrainConfig& config, const std::string& folder) {
  for (const char* file : {"last.safetensors", "config.json"})
    require(!std::filesystem::exists(folder + "/" + file),
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

}  // namespace fovea
