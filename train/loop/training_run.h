#pragma once
#include <memory>
#include <string>
#include <vector>

#include "core/file.h"
#include "train/loop/trainer.h"

namespace fovea {

// A training from its configuration to its report: what `fovea train` does, callable from a program.
class TrainingRun {
 public:
  // Called by start_run() and resume_run() (train/run/run.h).
  TrainingRun(std::unique_ptr<Task> task, TrainingState state, std::string folder, ProcessGroup& group);

  std::string name() const { return task_->name(); }
  // Faults of the data that do not prevent training.
  std::vector<std::string> warnings() const { return task_->warnings(); }
  std::vector<std::string> files() const { return task_->files(); }  // what is read during training
  std::string description() const;  // what is about to be done, in a few lines
  int64_t step() const { return trainer_ ? trainer_->step() : 0; }

  // See Trainer::run. Also throws Error if another process trains in the folder.
  bool train(const TrainHooks& hooks);

  // Evaluates best.safetensors on the validation split, writes report.html, images and results into the
  // folder, and returns the figures as text to print. `failure` of the result is one sentence if
  // config.overfit was set and the images were not overfitted completely.
  TaskResult finish() { return task_->finish(folder_); }

  bool complete() const;                                       // only finish() is left to do
  const TrainConfig& config() const { return state_.config; }  // resolved
  int64_t training_images() const { return task_->training_images(); }

 private:
  std::unique_ptr<Task> task_;
  TrainingState state_;
  std::string folder_;
  ProcessGroup& group_;
  std::string start_;  // where the first weights come from; empty if they are random
  std::unique_ptr<Trainer> trainer_;
  std::unique_ptr<FileLock> lock_;  // of the folder, from train() on
};

}  // namespace fovea
