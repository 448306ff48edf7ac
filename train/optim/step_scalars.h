#pragma once
#include <array>
#include <optional>

#include "core/tensor.h"
#include "cuda/runtime/memory.h"
#include "cuda/runtime/staged_copy.h"

namespace fovea {

// The few numbers of an update that change from step to step (learning rate, bias corrections, decay of an
// average), at a fixed address from which a captured update reads them.
template <size_t N>
class StepScalars {
 public:
  explicit StepScalars(Device device) {
    if (device == Device::cuda) on_device_.emplace(int64_t(N));
  }
  // Sets them after the work already queued on the device, without waiting for it
  // (cuda/runtime/staged_copy.h).
  void set(const std::array<float, N>& values) {
    host_ = values;
    is_set_ = true;
    if (on_device_) staging_.copy(on_device_->data(), host_.data(), sizeof host_);
  }
  bool is_set() const { return is_set_; }
  const float* data() const { return on_device_ ? on_device_->data() : host_.data(); }

 private:
  std::array<float, N> host_{};
  bool is_set_ = false;
  std::optional<cuda::Workspace<float>> on_device_;
  cuda::StagedCopy staging_;
};

}  // namespace fovea
