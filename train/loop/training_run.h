#pragma once
#include <memory>
#include <string>
#include <vector>

#include "train/loop/trainer.h"

namespace fovea {

// A training from its configuration to its report: what `fovea train` does, callable from a program.
class TrainingRun {
 public:
  // What differs between detection and classification.
  class Work {
   public:
    Work(const std::vector<std::string>& training_warnings,
         const std::vector<std::string>& validation_warnings)
        : warnings_(training_warnings) {
      warnings_.insert(warnings_.end(), validation_warnings.begin(), validation_warnings.end());
    }
    virtual ~Work() = default;
    const std::vector<std::string>& warnings() const { return warnings_; }
    virtual Task& task() = 0;
    virtual std::string name() const = 0;
    virtual std::string description() = 0;
    // Called before the first step of a new run; the folder exists.
    virtual void begin(const std::string&) {}
    virtual std::string finish(const std::string& folder) = 0;
    const std::string& failure() const { return failure_; }

   protected:
    std::string failure_;  // set by finish() where the training was to reach something and did not

   private:
    std::vector<std::string> warnings_;
  };

  // Called by start_run() and resume_run().
  TrainingRun(std::unique_ptr<Work> work, TrainingState state, std::string folder);

  std::string name() const { return work_->name(); }
  // Faults of the data that training can go on with.
  std::vector<std::string> warnings() const { return work_->warnings(); }
  std::string description();  // what is about to be done, in a few lines
  int64_t step() const { return trainer_ ? trainer_->step() : 0; }

  bool train(const TrainHooks& hooks);  // see Trainer::run

  // Measures best.safetensors on the validation split, writes report.html, pictures and results into the
  // folder, and returns the figures as text to print.
  std::string finish() { return work_->finish(folder_); }
  // After finish(): one sentence, where config.overfit asked for pictures learned by heart and they were not;
  // otherwise "".
  const std::string& failure() const { return work_->failure(); }

  bool complete() const;                                       // nothing is left to do but finish()
  const TrainConfig& config() const { return state_.config; }  // resolved
  int64_t training_images() const { return work_->task().training_images(); }

 private:
  std::unique_ptr<Work> work_;
  TrainingState state_;
  std::string folder_;
  std::string start_;  // where the first weights come from, unless from chance
  std::unique_ptr<Trainer> trainer_;
};

}  // namespace fovea
