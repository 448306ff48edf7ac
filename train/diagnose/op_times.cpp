#include "train/diagnose/op_times.h"

#include <algorithm>
#include <utility>

namespace fovea {
OpTimes::OpTimes() : last_(std::chrono::steady_clock::now()) {}

void OpTimes::mark(const char* op, bool backward) {
  const auto now = std::chrono::steady_clock::now();
  const double seconds = std::chrono::duration<double>(now - std::exchange(last_, now)).count();
  auto row = std::find_if(times_.begin(), times_.end(), [&](const OpTime& time) { return time.op == op; });
  if (row == times_.end()) row = times_.insert(row, {op, 0, 0, 0});
  (backward ? row->backward : row->forward) += seconds;
  row->calls += !backward;
}

}  // namespace fovea
