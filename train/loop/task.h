#pragma once
#include <string>
#include <utility>
#include <vector>

#include "train/loop/recipe.h"
#include "train/report/metrics.h"

namespace fovea {

// The results of a finished training.
struct TaskResult {
  std::string text;     // figures to print
  std::string failure;  // one sentence if the training did not reach a required result, otherwise empty
};

// A recipe, its data and its evaluation. Trainer does the rest, which is the same for every task.
class Task {
 public:
  explicit Task(Recipe recipe) : recipe_(std::move(recipe)) {}
  virtual ~Task() = default;
  const Recipe& recipe() const { return recipe_; }
  Module& model() const { return *recipe_.model; }

  virtual int64_t training_images() const = 0;  // in an epoch, over all processes
  // This process's share of batch `index`, in host memory. It must depend only on the seed and the index.
  // Called from several threads.
  virtual Batch make_batch(int64_t index) = 0;
  // Turns the batches of a step, now on the network's device, into what the recipe's losses() read, before
  // the first forward pass. On CUDA it is captured together with the step: it must submit the same work each
  // time, and must not read what the device computes.
  virtual std::vector<Batch> prepare(std::vector<Batch> batches) { return batches; }
  // Evaluates the network as it is. The first figure is the one to maximise and may be negative. A figure
  // that is not finite is never better than another.
  virtual NamedValues evaluate() = 0;

  // For the user who trains; a task that is only computed needs none of these.
  virtual std::string name() const { return ""; }         // of the data
  virtual std::string description() const { return ""; }  // what is about to be done, in a few lines
  virtual std::vector<std::string> warnings() const { return {}; }  // faults of the data, not fatal
  virtual std::vector<std::string> files() const { return {}; }     // what it reads during training
  virtual void begin(const std::string& /*folder*/) {
  }  // before the first step of a new run; the folder exists
  // Evaluates best.safetensors and writes the report and results into the folder.
  virtual TaskResult finish(const std::string& /*folder*/) { return {}; }

 private:
  Recipe recipe_;
};

}  // namespace fovea
