#pragma once
#include <algorithm>
#include <chrono>
#include <functional>
#include <vector>

#include "core/device.h"
#include "cuda/runtime/stream.h"

namespace fovea {

// Seconds that each repeat of f takes, after a few that do not count: by the clock on the CPU, between two
// events on CUDA, whose work continues after f has returned. `before`, which is not timed, precedes each.
inline std::vector<double> times_of(Device device, int repeats, const std::function<void()>& f,
                                    const std::function<void()>& before = nullptr) {
  constexpr int warm_ups = 3;
  std::vector<double> times;
  for (int i = -warm_ups; i < repeats; ++i) {
    if (before) before();
    double seconds = 0;
    if (device == Device::cuda) {
      cuda::Event begin, end;
      begin.record(cuda::current_stream());
      f();
      end.record(cuda::current_stream());
      end.synchronize();
      seconds = end.milliseconds_since(begin) / 1e3;
    } else {
      const auto start = std::chrono::steady_clock::now();
      f();
      seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    }
    if (i >= 0) times.push_back(seconds);
  }
  return times;
}

// Bytes per second, read and written, of a plain copy of 256 MB on this device, which no kernel can exceed.
double copy_rate(Device device, int repeats = 20);

// The median of at least one time; of an even number, the upper one of the two in the middle.
inline double median_of(std::vector<double> times) {
  std::nth_element(times.begin(), times.begin() + long(times.size() / 2), times.end());
  return times[times.size() / 2];
}

}  // namespace fovea
