#pragma once
#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "core/autograd.h"
#include "core/tape_observer.h"

namespace fovea {

// How long the calls of one op took, in all.
struct OpTime {
  std::string op;
  int64_t calls = 0;                 // forward
  double forward = 0, backward = 0;  // seconds
};

// While one lives, ops note how long they take on this thread's clock, for work on the CPU: an op has the
// time since the one before it was done, so that nothing is left out. What comes before the first op and
// after the last is told apart by mark().
class OpTimes : public TapeObserver {
 public:
  OpTimes();

  // The time since the last mark goes to this op, or to whatever else the name says.
  void mark(const char* op, bool backward = false);
  const std::vector<OpTime>& times() const { return times_; }

  void on_op(const Op& op, const Tensors&, const Tensor&) override { mark(op.name); }
  void on_backward_done(const Node& node) override { mark(node.op, true); }

 private:
  std::chrono::steady_clock::time_point last_;
  std::vector<OpTime> times_;
};

}  // namespace fovea
