#pragma once
#include <array>
#include <cstddef>
#include <vector>

#include "cuda/runtime/process_group.h"

struct ncclComm;

namespace fovea {

// What NCCL calls an ncclUniqueId: process 0 makes one and all others are told it.
using NcclId = std::array<std::byte, 128>;
NcclId make_nccl_id();

// The GPUs of a ProcessGroup, one for each process; all processes make theirs together. Sums are NCCL's: the
// same bits in all processes, and in each run on the same machine. Throws Error where NCCL reports one. Only
// in builds with FOVEA_NCCL.
class NcclCommunicator {
 public:
  NcclCommunicator(const NcclId& id, int rank, int size);
  ~NcclCommunicator();
  NcclCommunicator(const NcclCommunicator&) = delete;
  NcclCommunicator& operator=(const NcclCommunicator&) = delete;

  void all_gather(void* all, size_t bytes) const;                   // as ProcessGroup::all_gather_on_device
  void all_reduce(const std::vector<DeviceFloats>& tensors) const;  // as ProcessGroup::all_reduce_on_device

 private:
  ncclComm* communicator_ = nullptr;
  int rank_;
};

}  // namespace fovea
