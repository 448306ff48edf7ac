#pragma once
#include <string>
#include <utility>
#include <vector>

#include "train/loop/recipe.h"
#include "train/report/metrics.h"

namespace fovea {

// What a finished training has to say.
struct TaskResult {
  std::string text;     // figures to print
  std::string failure;  // one sentence where the training was to reach something and did not, otherwise empty
};

// What is learned: a recipe and its data, and how well it was learned. Trainer does the rest, the same for
// every task.
class Task {
 public:
  explicit Task(Recipe recipe) : recipe_(std::move(recipe)) {}
  virtual ~Task() = default;
  const Recipe& recipe() const { return recipe_; }
  Module& model() const { return *recipe_.model; }

  virtual int64_t training_images() const = 0;  // in an epoch, of all processes
  // This process's share of batch `index`, in host memory: a function of the seed and the index and nothing
  // else. Called from several threads.
  virtual Batch make_batch(int64_t index) = 0;
  // Turns the batches of a step, now on the network's device, into what the recipe's losses() read, before
  // the first forward pass. On CUDA it is captured together with the step: it must ask for the same work each
  // time, and not read what the device computes.
  virtual std::vector<Batch> prepare(std::vector<Batch> batches) { return batches; }
  // Measures the network as it is; the first figure is the one to maximise, of either sign. One that is not
  // finite is no better than any other.
  virtual NamedValues evaluate() = 0;

  // For the person who trains; a task that is only computed needs none of these.
  virtual std::string name() const { return ""; }         // of the data
  virtual std::string description() const { return ""; }  // what is about to be done, in a few lines
  virtual std::vector<std::string> warnings() const { return {}; }  // faults of the data, not fatal
  virtual std::vector<std::string> files() const { return {}; }     // what it reads while it trains
  virtual void begin(const std::string& /*folder*/) {
  }  // before the first step of a new run; the folder exists
  // Measures best.safetensors and writes report and results into the folder.
  virtual TaskResult finish(const std::string& /*folder*/) { return {}; }

 private:
  Recipe recipe_;
};

}  // namespace fovea
