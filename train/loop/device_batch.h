#pragma once
#include <deque>

#include "cuda/runtime/staged_copy.h"
#include "train/loop/recipe.h"

namespace fovea {

// One batch of a training step, at fixed addresses from which a captured step reads every batch. Only if
// `sizes_vary` may packed images have another shape than the ones before; they then lie elsewhere, and no
// step may be captured. On the CPU it is the batch that was loaded.
class DeviceBatch {
 public:
  explicit DeviceBatch(Device device, bool sizes_vary = false) : device_(device), sizes_vary_(sizes_vary) {}

  // Copies a batch from the host to the device after the work already queued there, without waiting for it
  // (cuda/runtime/staged_copy.h). Shapes and dtypes must be those of the first call, except for images whose
  // sizes vary. `index` is the number of the batch in the training.
  void load(const Batch& batch, int64_t index);

  const Batch& batch() const { return batch_; }
  // The index, in the form that random numbers on the device read (Random::set_step).
  const int64_t* index() const { return reinterpret_cast<const int64_t*>(index_.raw()); }

 private:
  void bring(const Tensor& values, Tensor& to, cuda::StagedCopy& staging);

  Device device_;
  bool sizes_vary_;
  Batch batch_;
  Tensor index_, packed_;  // packed_: the source of batch_.images
  cuda::StagedCopy staged_images_, staged_index_;
  std::deque<cuda::StagedCopy> staged_targets_;
};

}  // namespace fovea
