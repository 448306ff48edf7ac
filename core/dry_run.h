#pragma once
#include "core/storage.h"

namespace fovea {

// While one lives, ops on this thread compute nothing. Each creates its output, with a shape, a dtype and a
// device but no memory behind it, and is recorded on the tape as usual; the backward pass does the same. The
// memory that these tensors would take is counted by the rules of the real pools. A step of any size, on
// either device, then takes milliseconds, even on a machine that could not hold it.
//
// Tensors created during a dry run have no numbers: values() throws, and ops skip the checks that read
// numbers. The workspace of a matrix product on CUDA is counted. The scratch space of the other kernels is
// not: it is small, and needed for only one launch. Tensors created before are neither read nor written;
// those created during the dry run should not outlive it.
class DryRun {
 public:
  DryRun();  // resets the counts
  ~DryRun();
  DryRun(const DryRun&) = delete;
  DryRun& operator=(const DryRun&) = delete;

  MemoryUse memory(Device device) const;  // of tensors made since the constructor

 private:
  bool previous_;
};

bool is_dry_run();  // on this thread

// The lowest address of a dry run's tensors: no machine has memory there or above.
std::byte* dry_block();

}  // namespace fovea
