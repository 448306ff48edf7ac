#pragma once
#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "cuda/runtime/graph.h"
#include "train/loop/checkpoint.h"
#include "train/loop/config.h"
#include "train/loop/divergence.h"
#include "train/optim/ema.h"
#include "train/optim/optimizer.h"
#include "train/optim/schedule.h"
#include "train/report/metrics.h"

namespace fovea {

// What is learned: a network, its data and its loss. The Trainer does the rest, the same for detection and
// classification.
class Task {
 public:
  virtual ~Task() = default;
  virtual Module& model() = 0;
  virtual int64_t training_images() const = 0;
  // The batches of steps first .. end - 1 will be asked for, in order: their preparation may begin.
  virtual void start(int64_t first, int64_t end) = 0;
  // Puts the step's batches, config.accumulate of them, where compute() finds them.
  virtual void load(int64_t step) = 0;
  // Forward and backward pass of each of them: leaves the gradients of the step's loss in the parameters, and
  // returns that loss and its parts, each one number on the network's device, the loss first. The loss is
  // that of all batches as one. On CUDA it is captured once and replayed for every step: it must ask for the
  // same work each time, and not read what the device computes.
  virtual std::vector<NamedTensor> compute() = 0;
  // Measures the network as it is; the first figure is the one to maximise, of either sign. One that is not
  // finite is no better than any other.
  virtual NamedValues evaluate() = 0;
  // Time in which step() had to wait for its batch.
  virtual double seconds_waited() const { return 0; }
};

// Adds the losses of one more batch to those of a step; the first batch makes them.
void add_losses(std::vector<NamedTensor>& sums, const std::vector<NamedTensor>& losses);

// How far a training is, after each step.
struct TrainProgress {
  int64_t step = 0, steps = 0;  // done, in all
  double epoch = 0;
  double loss = 0;  // average of the latest steps; on CUDA of those up to the latest reading
  double images_per_second = 0;
  double seconds_left = 0;
  double waiting = 0;   // share of the time in which the step waited for images
  NamedValues figures;  // of the latest evaluation
};

// What a training tells, and how it is stopped.
struct TrainHooks {
  std::function<void(const TrainProgress&)> on_step;
  std::function<void(const std::string&)> on_message;  // one sentence worth telling
  const std::atomic<bool>* stop =
      nullptr;  // set from outside (Ctrl-C): finish the step, keep a checkpoint, return
};

// The config with its "choose for me" of length, learning rate, decays and warm-up decided, for so many
// training images.
TrainConfig resolve_config(TrainConfig config, int64_t training_images);

// What an optimizer is to update, and how, by the configuration.
std::vector<NamedTensor> trained_parameters(const Module& model);
OptimizerOptions optimizer_options(const TrainConfig& config);

// Runs a training in a folder: last.safetensors (to resume from), best.safetensors (the best evaluation so
// far), config.json, metrics.csv and TensorBoard events. The same config and data give the same files bit for
// bit (but for times), whether or not the training was stopped or killed and resumed on the way, and for any
// number of threads.
class Trainer {
 public:
  // `state` as it should stand in checkpoints: resolved config and classes, step 0.
  Trainer(Task& task, TrainingState state, std::string folder, TrainHooks hooks);

  // Goes on from folder/last.safetensors.
  void resume(const Checkpoint& checkpoint);

  // In several processes (core/processes.h) all run it, each with its share of every batch; process 0 writes
  // the files.
  //
  // True when the training is complete (also early, by config.patience), false when it was stopped from
  // outside. Throws Error when the loss or a gradient is not finite, naming the step, the op where that began
  // and what to try (the checkpoints on the disk stay as they are), and where a file cannot be written.
  bool run();

  int64_t step() const { return state_.step; }
  const NamedValues& figures() const { return progress_.figures; }

 private:
  void one_step();
  void compute();
  void run_on_device();
  void prepare_update();
  void collect(const NamedValues& losses, int64_t steps);
  void check_losses(const NamedValues& losses, int64_t first);
  bool out_of_patience() const;
  void read_losses();
  void evaluate();
  void save(const std::string& name) const;
  bool every(double epochs) const;

  Task& task_;
  TrainingState state_;
  std::string folder_;
  TrainHooks hooks_;
  Schedule schedule_;
  std::vector<NamedTensor> parameters_;  // that are trained
  Optimizer optimizer_;
  Ema ema_;
  std::unique_ptr<MetricsWriter> metrics_;
  TrainProgress progress_;
  std::vector<NamedTensor> losses_;  // of the latest step, on the network's device
  NamedValues sums_;                 // of the losses since they were last written
  int64_t summed_ = 0;

  std::optional<double> average_loss_;

  // On CUDA: the step as a graph, made anew when batch norm is frozen; and the sums of the losses, read after
  // the first steps, and then now and then.
  std::unique_ptr<cuda::Graph> graph_;
  int warm_ups_ = 0;
  bool frozen_ = false;
  std::vector<Tensor> device_sums_;
  int64_t unread_ = 0;         // steps in device_sums_
  double seconds_before_ = 0;  // of the run before it was resumed
  int64_t first_step_ = 0;     // of this process
  LossWatch loss_watch_;
};

}  // namespace fovea
