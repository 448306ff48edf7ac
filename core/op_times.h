#pragma once
#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

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
class OpTimes {
 public:
  OpTimes();
  ~OpTimes();
  OpTimes(const OpTimes&) = delete;
  OpTimes& operator=(const OpTimes&) = delete;

  // The time since the last mark goes to this op, or to whatever else the name says.
  void mark(const char* op, bool backward = false);
  const std::vector<OpTime>& times() const { return times_; }

  static OpTimes* current();  // null where nobody asks

 private:
  OpTimes* previous_;
  std::chrono::steady_clock::time_point last_;
  std::vector<OpTime> times_;
};

// For core/autograd.cpp.
inline void mark_op(const char* op, bool backward) {
  if (OpTimes* times = OpTimes::current()) times->mark(op, backward);
}

}  // namespace fovea
