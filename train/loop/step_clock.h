#pragma once
#include <algorithm>
#include <chrono>
#include <cstdint>

namespace fovea {

// Measures how long a training and its steps take.
class StepClock {
 public:
  void step_done() {
    const double step = since(last_);
    // The average follows a machine that slows down.
    average_ += (step - average_) * std::max(0.03, 1.0 / double(++steps_));
    skip();
  }
  // Excludes the time since the last step from that of the next one.
  void skip() { last_ = Clock::now(); }

  int64_t steps() const { return steps_; }
  double seconds() const { return since(start_); }      // since construction
  double seconds_per_step() const { return average_; }  // of the latest steps

 private:
  using Clock = std::chrono::steady_clock;
  static double since(Clock::time_point t) { return std::chrono::duration<double>(Clock::now() - t).count(); }

  Clock::time_point start_ = Clock::now(), last_ = start_;
  int64_t steps_ = 0;
  double average_ = 0;
};

}  // namespace fovea
