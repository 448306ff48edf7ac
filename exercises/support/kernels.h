#pragma once
// For checks of kernels: device memory, launches in every order of the threads, and what the simulator
// reports.
#include <fovea/cuda/runtime/device.h>
#include <fovea/cuda/runtime/kernel_score.h>
#include <fovea/cuda/runtime/launch.h>
#include <fovea/cuda/runtime/memory.h>

#include <functional>
#include <string_view>
#include <vector>

namespace fovea::learn {

// Numbers in device memory.
template <class T>
class Buffer {
 public:
  explicit Buffer(const std::vector<T>& values) : Buffer(int64_t(values.size())) {
    cuda::copy_to_device(data(), values.data(), values.size() * sizeof(T));
  }
  explicit Buffer(int64_t count) : count_(count), memory_(count) {}  // nothing has been written yet
  T* data() const { return memory_.data(); }
  std::vector<T> values() const {
    std::vector<T> result(static_cast<size_t>(count_));
    cuda::copy_to_host(result.data(), data(), result.size() * sizeof(T));
    return result;
  }

 private:
  int64_t count_;
  cuda::Workspace<T> memory_;
};

// Runs `launches`, which gives what the kernel computed, with the threads beginning in order, backwards and
// shuffled, and gives the result of the first. The step fails where the bits differ, and on what the
// simulator reports.
std::vector<float> in_every_order(const std::function<std::vector<float>()>& launches);

// What the memory system would have to do for the one launch in `launches`: exact, and the same on every
// machine.
cuda::KernelScore score_of(const std::function<void()>& launches);

// "x: read 4.2 times over, 1.3 sectors a request", as a note under the step; verb is "read" or "written".
void note_score(std::string_view buffer, std::string_view verb, const cuda::AccessScore& score);

// The step fails where a count is above what a good kernel needs: "x is read 4.2 times; 1.3 times are
// enough".
void expect_times(std::string_view buffer, std::string_view verb, const cuda::AccessScore& score,
                  double enough);
void expect_sectors(std::string_view buffer, std::string_view verb, const cuda::AccessScore& score,
                    double enough);

}  // namespace fovea::learn
