#include "train/loop/device_batch.h"

#include "core/error.h"

namespace fovea {
namespace {

// Holds 64 bits as two int32, since there is no int64 dtype.
Tensor index_tensor(int64_t index) {
  return from_values({2}, {double(int32_t(index & 0xffffffff)), double(index >> 32)}, DType::int32);
}

}  // namespace

void DeviceBatch::bring(const Tensor& values, Tensor& to, cuda::StagedCopy& staging) {
  if (device_ == Device::cpu) {
    to = values;
    return;
  }
  if (!to.defined()) to = Tensor(values.shape(), values.dtype(), device_);
  require(values.shape() == to.shape() && values.dtype() == to.dtype(),
          "[DeviceBatch] a batch is {} of {}, those before were {} of {}", values.dtype(), values.shape(),
          to.dtype(), to.shape());
  staging.copy(to.raw(), values.raw(), size_t(values.bytes()));
}

void DeviceBatch::load(const Batch& batch, int64_t index) {
  if (batch_.targets.empty()) batch_.targets.resize(batch.targets.size());
  require(batch.targets.size() == batch_.targets.size(),
          "[DeviceBatch] a batch has {} targets, those before had {}", batch.targets.size(),
          batch_.targets.size());
  staged_targets_.resize(batch.targets.size());
  if (batch.packed) {
    const PackedImages& packed = *batch.packed;
    if (!batch_.images.defined() || (sizes_vary_ && batch_.images.shape() != packed.shape())) {
      batch_.images = packed.empty_input();
      packed_ = Tensor(packed.bytes().shape(), DType::uint8, device_);
    }
    require(batch_.images.shape() == packed.shape(),
            "[DeviceBatch] a batch is of {}, those before were of {}", packed.shape(), batch_.images.shape());
    staged_images_.copy(packed_.raw(), packed.bytes().raw(), size_t(packed.used()));
    packed.unpack(packed_, batch_.images);
  } else {
    bring(batch.images, batch_.images, staged_images_);
  }
  for (size_t i = 0; i < batch.targets.size(); ++i)
    bring(batch.targets[i], batch_.targets[i], staged_targets_[i]);
  bring(index_tensor(index), index_, staged_index_);
}

}  // namespace fovea
