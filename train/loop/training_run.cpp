#include "train/loop/training_run.h"

#include <filesystem>

#include "core/file.h"
#include "core/parallel.h"
#include "train/loop/initialization.h"
#include "train/parallel/data_parallel.h"

namespace fovea {

TrainingRun::TrainingRun(std::unique_ptr<Task> task, TrainingState state, std::string folder,
                         ProcessGroup& group)
    : task_(std::move(task)), state_(std::move(state)), folder_(std::move(folder)), group_(group) {
  // Done before anything is written. A resumed run has its weights in its last checkpoint.
  if (!std::filesystem::exists(folder_ + "/last.safetensors"))
    start_ = initialize(task_->model(), state_.config, state_.class_names);
}

std::string TrainingRun::description() const {
  return task_->description() + (start_.empty() ? "" : "; " + start_) +
         (group_.size() > 1 ? fmt::format("; {} processes, {} threads each", group_.size(), num_threads())
                            : "");
}

bool TrainingRun::train(const TrainHooks& hooks) {
  const std::string last = folder_ + "/last.safetensors";
  trainer_ = std::make_unique<Trainer>(*task_, state_, folder_, hooks, group_);
  if (group_.is_main_process()) {
    create_folder(folder_);
    if (!lock_) lock_ = std::make_unique<FileLock>(folder_ + "/lock", "the run in " + folder_);
  }
  if (std::filesystem::exists(last)) {
    trainer_->resume(Checkpoint(last));
  } else if (group_.is_main_process()) {
    task_->begin(folder_);
  }
  const bool complete = trainer_->run();
  any_process(group_, false);  // the main process has written its files
  return complete;
}

bool TrainingRun::complete() const {
  const std::string last = folder_ + "/last.safetensors";
  if (!std::filesystem::exists(last)) return false;
  const TrainingState state = Checkpoint(last).state();
  return state.step >= state.config.steps ||
         (state.config.patience > 0 && state.measured_since_best >= state.config.patience);
}

}  // namespace fovea
