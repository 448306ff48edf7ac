#pragma once
#include <algorithm>
#include <chrono>
#include <functional>
#include <vector>

#include "core/device.h"
#include "cuda/runtime/stream.h"

namespace fovea {

// Seconds that each repeat of f takes, after a few that do not count: by the clock on the CPU, between two
// events on CUDA, whose work goes on when f has returned.
inline std::vector<double> times_of(Device device, int repeats, const std::function<void()>& f) {
  constexpr int warm_ups = 3;
  for (int i = 0; i < warm_ups; ++i) f();
  std::vector<double> times;
  for (int i = 0; i < repeats; ++i) {
    if (device == Device::cuda) {
      cuda::Event begin, end;
      begin.record(cuda::current_stream());
      f();
      end.record(cuda::current_stream());
      end.synchronize();
      times.push_back(end.milliseconds_since(begin) / 1e3);
    } else {
      const auto start = std::chrono::steady_clock::now();
      f();
      times.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
    }
  }
  return times;
}

inline double median_of(std::vector<double> times) {
  std::nth_element(times.begin(), times.begin() + long(times.size() / 2), times.end());
  return times[times.size() / 2];
}

}  // namespace fovea
