#pragma once
#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "core/autograd.h"
#include "core/tape_observer.h"

namespace fovea {

// The total time of the calls of one op.
struct OpTime {
  std::string op;
  int64_t calls = 0;                 // forward
  double forward = 0, backward = 0;  // seconds
};

// While an OpTimes exists, it records how long ops take on this thread's clock, for work on the CPU. An op is
// assigned the time since the end of the one before it, so that nothing is left out. mark() separates what
// comes before the first op and after the last.
class OpTimes : public TapeObserver {
 public:
  OpTimes();

  // Assigns the time since the last mark to this op, or to anything else with this name.
  void mark(const char* op, bool backward = false);
  const std::vector<OpTime>& times() const { return times_; }

  void on_op(const Op& op, const Tensors&, const Tensor&) override { mark(op.name); }
  void on_backward_done(const Node& node) override { mark(node.op, true); }

 private:
  std::chrono::steady_clock::time_point last_;
  std::vector<OpTime> times_;
};

}  // namespace fovea
