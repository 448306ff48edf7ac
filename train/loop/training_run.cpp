#include "train/loop/training_run.h"

#include <filesystem>

#include "core/file.h"
#include "core/parallel.h"
#include "core/processes.h"
#include "train/loop/initialization.h"
#include "train/parallel/data_parallel.h"

namespace fovea {

TrainingRun::TrainingRun(std::unique_ptr<Work> work, TrainingState state, std::string folder)
    : work_(std::move(work)), state_(std::move(state)), folder_(std::move(folder)) {
  // Before anything is written; a run that goes on has its weights in its last checkpoint.
  if (!std::filesystem::exists(folder_ + "/last.safetensors"))
    start_ = initialize(work_->task().model(), state_.config);
}

std::string TrainingRun::description() {
  return work_->description() + (start_.empty() ? "" : "; " + start_) +
         (processes() ? fmt::format("; {} processes, {} threads each", processes()->count(), num_threads())
                      : "");
}

bool TrainingRun::train(const TrainHooks& hooks) {
  const std::string last = folder_ + "/last.safetensors";
  trainer_ = std::make_unique<Trainer>(work_->task(), state_, folder_, hooks);
  if (std::filesystem::exists(last)) {
    trainer_->resume(Checkpoint(last));
  } else if (is_main_process()) {
    create_folder(folder_);
    work_->begin(folder_);
  }
  const bool complete = trainer_->run();
  any_process(false);  // the writer has written
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
