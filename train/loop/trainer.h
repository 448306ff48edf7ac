#pragma once
#include <memory>
#include <optional>
#include <string>

#include "train/loop/checkpoint.h"
#include "train/loop/divergence.h"
#include "train/loop/step_clock.h"
#include "train/loop/train_hooks.h"
#include "train/loop/training_step.h"
#include "train/optim/schedule.h"
#include "train/report/metrics.h"

namespace fovea {

// Runs a training in a folder: last.safetensors (to resume from), best.safetensors (the best evaluation so
// far), config.json, metrics.csv and TensorBoard events. The same config and data give the same files bit for
// bit (except for times), whether or not the training was stopped or killed and resumed on the way, and with
// any number of threads.
class Trainer {
 public:
  // `state` is the initial state for checkpoints: resolved config and classes, step 0. All processes of a
  // group run the training, each with its share of every batch; only the main process writes files.
  Trainer(Task& task, TrainingState state, std::string folder, TrainHooks hooks,
          ProcessGroup& group = single_process());

  // Continues from folder/last.safetensors.
  void resume(const Checkpoint& checkpoint);

  // Returns true if the training is complete (also early, by config.patience), false if it was stopped from
  // outside. Throws Error if the loss or a gradient is not finite, naming the step, the op where that began
  // and what to try (the checkpoints on disk stay as they are), and if a file cannot be written.
  bool run();

  int64_t step() const { return state_.step; }
  const NamedValues& figures() const { return progress_.figures; }

 private:
  // What follows a step.
  struct Due {
    bool losses = false, metrics = false, evaluation = false, checkpoint = false, stop = false;
  };

  void open_folder();
  void one_step();
  void update_progress();
  Due due_after_step() const;
  void read_losses();
  void check_losses(const NamedValues& losses, int64_t first);
  void collect(const NamedValues& losses, int64_t steps);
  void write_metrics(const NamedValues& values);
  void write_losses();
  void evaluate();
  void tell_no_patience() const;
  void save(const std::string& name) const;

  bool done() const { return state_.step == state_.config.steps; }
  bool out_of_patience() const;
  bool every(double epochs) const;

  Task& task_;
  TrainingState state_;
  std::string folder_;
  TrainHooks hooks_;
  ProcessGroup& group_;
  WarmupCosine schedule_;
  TrainingStep training_step_;
  std::unique_ptr<MetricsWriter> metrics_;
  StepClock clock_;
  double seconds_before_ = 0;  // of the run before it was resumed
  int64_t first_step_ = 0;     // of this process
  TrainProgress progress_;
  NamedValues sums_;  // of the losses since they were last written
  int64_t summed_ = 0;
  std::optional<double> average_loss_;
  LossWatch loss_watch_;
};

}  // namespace fovea
