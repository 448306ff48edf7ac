#include "core/op_times.h"

#include <algorithm>
#include <utility>

namespace fovea {
namespace {
thread_local OpTimes* active = nullptr;
}

OpTimes::OpTimes() : previous_(std::exchange(active, this)), last_(std::chrono::steady_clock::now()) {}
OpTimes::~OpTimes() { active = previous_; }
OpTimes* OpTimes::current() { return active; }

void OpTimes::mark(const char* op, bool backward) {
  const auto now = std::chrono::steady_clock::now();
  const double seconds = std::chrono::duration<double>(now - std::exchange(last_, now)).count();
  auto row = std::find_if(times_.begin(), times_.end(), [&](const OpTime& time) { return time.op == op; });
  if (row == times_.end()) row = times_.insert(row, {op, 0, 0, 0});
  (backward ? row->backward : row->forward) += seconds;
  row->calls += !backward;
}

}  // namespace fovea
