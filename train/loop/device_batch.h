#pragma once
#include <deque>

#include "cuda/runtime/staged_copy.h"
#include "train/loop/recipe.h"

namespace fovea {

// One batch of a training step, at addresses that stay: a captured step reads every batch from there. Only
// where `sizes_vary` packed images may have another shape than those before, and then lie elsewhere: no step
// must be captured. On the CPU it is the batch that was loaded.
class DeviceBatch {
 public:
  explicit DeviceBatch(Device device, bool sizes_vary = false) : device_(device), sizes_vary_(sizes_vary) {}

  // Brings a batch from the host to the device, behind the work already asked of it, for which the host does
  // not wait (cuda/runtime/staged_copy.h). Shapes and dtypes must be those of the first call, but for images
  // whose sizes vary. `index`: the number of the batch in the training.
  void load(const Batch& batch, int64_t index);

  const Batch& batch() const { return batch_; }
  // The index as random numbers on the device read it (Random::set_step).
  const int64_t* index() const { return reinterpret_cast<const int64_t*>(index_.raw()); }

 private:
  void bring(const Tensor& values, Tensor& to, cuda::StagedCopy& staging);

  Device device_;
  bool sizes_vary_;
  Batch batch_;
  Tensor index_, packed_;  // packed_: what batch_.images are made of
  cuda::StagedCopy staged_images_, staged_index_;
  std::deque<cuda::StagedCopy> staged_targets_;
};

}  // namespace fovea
