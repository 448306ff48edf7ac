#include "train/optim/device_input.h"

#include <cstring>

#include "core/error.h"

namespace fovea {

void DeviceInput::load(const Tensor& values) {
  if (device_ == Device::cpu) {
    tensor_ = values;
    return;
  }
  if (!tensor_.defined()) tensor_ = Tensor(values.shape(), values.dtype(), device_);
  require(values.shape() == tensor_.shape() && values.dtype() == tensor_.dtype(),
          "[DeviceInput] a batch is {} of {}, those before were {} of {}", values.dtype(), values.shape(),
          tensor_.dtype(), tensor_.shape());
  std::unique_ptr<Staging>& staging = staging_[next_];
  next_ = 1 - next_;
  const size_t bytes = size_t(values.bytes());
  if (!staging) {
    staging = std::make_unique<Staging>();
    staging->memory = std::make_unique<cuda::PinnedMemory>(bytes);
  }
  staging->copied.throttle();
  std::memcpy(staging->memory->data(), values.raw(), bytes);
  cuda::copy_to_device(tensor_.raw(), staging->memory->data(), bytes);
  staging->copied.record(cuda::current_stream());
}

}  // namespace fovea
