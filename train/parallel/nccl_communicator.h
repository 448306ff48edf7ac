#pragma once
#include <array>
#include <cstddef>
#include <vector>

#include "cuda/runtime/process_group.h"

struct ncclComm;

namespace fovea {

// NCCL's ncclUniqueId: process 0 creates one and sends it to all others.
using NcclId = std::array<std::byte, 128>;
NcclId make_nccl_id();

// Connects the GPUs of a ProcessGroup, one for each process; all processes must construct theirs together.
// NCCL computes the sums: the same bits in all processes, and in each run on the same machine. Throws Error
// if NCCL reports an error. Only in builds with FOVEA_NCCL.
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
