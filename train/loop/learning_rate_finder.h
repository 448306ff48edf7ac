#pragma once
#include <string>
#include <vector>

#include "train/loop/config.h"
#include "train/loop/task.h"
#include "train/loop/train_hooks.h"

namespace fovea {

// The result of a range test: the smoothed loss at each learning rate that was tried.
struct LearningRateSearch {
  struct Trial {
    double learning_rate = 0, loss = 0;
  };
  std::vector<Trial> trials;  // rates grow by one factor from step to step
  double lowest = 0;          // the rate at which the loss was lowest
  double fastest = 0;         // the rate, before that, at which it fell fastest
  double suggested = 0;       // a tenth of `lowest`
  bool diverged = false;      // the loss rose again: rates beyond the last are too high
};

// The learning rate range test (Smith 2015, arXiv 1506.01186, section 3.3): one step each at rates from 1e-6
// to 10, in equal ratios, until the loss is four times its lowest value or not finite. The suggestion is a
// tenth of the rate at which the loss is lowest. The rate at which it falls fastest, which is often suggested
// instead, is where the class net learns that most anchors are background, and half of what suits a whole
// training (docs/training.md). The search changes the weights of the task's network. It calls on_step of the
// hooks, and throws Error once `stop` is set.
LearningRateSearch find_learning_rate(Task& task, const TrainConfig& config, const TrainHooks& hooks = {});

// A table of at most `rows` rates and losses, with the suggestion marked.
std::string learning_rate_table(const LearningRateSearch& search, size_t rows = 15);

// Writes learning_rate.csv and learning_rate.svg into the folder.
void write_learning_rate_search(const LearningRateSearch& search, const std::string& folder);

}  // namespace fovea
