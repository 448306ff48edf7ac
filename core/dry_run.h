#pragma once
#include "core/storage.h"

namespace fovea {

// While one lives, ops of this thread compute nothing. Each makes its output, with a shape, a dtype and a
// device but no memory behind it, and goes on the tape as ever; the backward pass does the same. The memory
// that they would have taken is counted by the rules of the real pools. So a step of any size, on either
// device, is walked through in milliseconds, on a machine that could not hold it.
//
// Tensors made meanwhile have no numbers to read: values() refuses, and ops whose checks look at numbers
// leave those checks out. The workspace of a matrix product on CUDA is counted. What the other kernels need
// as scratch space is not: it is little, and lives for one launch. Tensors made before are neither read nor
// written; those made meanwhile should not outlive it.
class DryRun {
 public:
  DryRun();  // what was counted before is forgotten
  ~DryRun();
  DryRun(const DryRun&) = delete;
  DryRun& operator=(const DryRun&) = delete;

  MemoryUse memory(Device device) const;  // of tensors made since the constructor

 private:
  bool previous_;
};

bool is_dry_run();  // on this thread

// Where the tensors of dry runs point to, or beyond: addresses that no machine has.
std::byte* dry_block();

}  // namespace fovea
