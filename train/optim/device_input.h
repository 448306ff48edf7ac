#pragma once
#include <array>
#include <memory>

#include "core/tensor.h"
#include "cuda/runtime/memory.h"
#include "cuda/runtime/stream.h"

namespace fovea {

// One input of a training step, at an address that stays: a captured step reads each batch from there. On the
// CPU it is the batch's own tensor.
class DeviceInput {
 public:
  explicit DeviceInput(Device device) : device_(device) {}

  // Brings the numbers to the device, behind the work already asked of it. The host waits only where it is
  // two batches ahead, and the device has work for as long (Counters::throttles). Shape and dtype must be
  // those of the first call.
  void load(const Tensor& values);
  const Tensor& tensor() const { return tensor_; }

 private:
  // Pinned memory, which the device copies from by itself; two, so that one can be filled while it does.
  struct Staging {
    std::unique_ptr<cuda::PinnedMemory> memory;
    cuda::Event copied;
  };
  Device device_;
  Tensor tensor_;
  std::array<std::unique_ptr<Staging>, 2> staging_;
  size_t next_ = 0;
};

}  // namespace fovea
