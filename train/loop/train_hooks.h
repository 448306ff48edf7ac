#pragma once
#include <atomic>
#include <cstdint>
#include <functional>
#include <string>

#include "train/report/metrics.h"

namespace fovea {

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
  // Set from outside (Ctrl-C): finish the step, keep a checkpoint, return. From a thread in sigwait(), not from
  // a handler, unless that has a stack of its own (SA_ONSTACK): see cli/signals.h.
  const std::atomic<bool>* stop = nullptr;
};

}  // namespace fovea
