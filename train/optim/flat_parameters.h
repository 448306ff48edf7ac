#pragma once
#include <algorithm>
#include <cstdint>
#include <vector>

#include "core/parallel.h"
#include "nn/module.h"

namespace fovea {

// The numbers of many tensors as one long row, in their order, for an optimizer to walk along. Threads get
// equal shares of it, however unequal the tensors are.
class FlatParameters {
 public:
  explicit FlatParameters(const std::vector<NamedTensor>& tensors) {
    for (const NamedTensor& t : tensors) ends_.push_back(size() + t.tensor.numel());
  }
  int64_t size() const { return ends_.empty() ? 0 : ends_.back(); }

  // Calls f(tensor, begin, end) for the parts of the tensors that lie in [first, last) of the row.
  template <class F>
  void each(int64_t first, int64_t last, F&& f) const {
    size_t tensor = size_t(std::upper_bound(ends_.begin(), ends_.end(), first) - ends_.begin());
    for (int64_t at = first; at < last; ++tensor) {
      const int64_t start = tensor == 0 ? 0 : ends_[tensor - 1], end = std::min(last, ends_[tensor]);
      if (end > at) f(tensor, at - start, end - start);
      at = std::max(at, end);
    }
  }

  // Calls f for the whole row on all threads; for elementwise work.
  template <class F>
  void parallel(F&& f) const {
    parallel_for(size(), 1 << 12, [&](int64_t first, int64_t last) { each(first, last, f); });
  }

 private:
  std::vector<int64_t> ends_;
};

}  // namespace fovea
