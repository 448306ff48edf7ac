#pragma once
#include <atomic>
#include <cstdint>
#include <functional>
#include <string>

#include "train/report/metrics.h"

namespace fovea {

// The progress of a training, after each step.
struct TrainProgress {
  int64_t step = 0, steps = 0;  // done, in total
  double epoch = 0;
  double loss = 0;  // average of the latest steps; on CUDA of those up to the latest reading
  double images_per_second = 0;
  double seconds_left = 0;
  double waiting = 0;   // share of the time in which the step waited for images
  NamedValues figures;  // of the latest evaluation
};

// How a training reports its progress, and how it is stopped.
struct TrainHooks {
  std::function<void(const TrainProgress&)> on_step;
  std::function<void(const std::string&)> on_message;  // one sentence for the user
  // Set from outside (Ctrl-C) to finish the step, write a checkpoint and return. Set it from a thread in
  // sigwait(), not from a signal handler, unless that has its own stack (SA_ONSTACK): see cli/signals.h.
  const std::atomic<bool>* stop = nullptr;
};

}  // namespace fovea
