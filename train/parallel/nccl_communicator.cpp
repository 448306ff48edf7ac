#include "train/parallel/nccl_communicator.h"

#ifdef FOVEA_NCCL
#include <nccl.h>

#include <cstring>

#include "core/error.h"
#include "cuda/runtime/stream.h"

namespace fovea {
namespace {

void require_success(ncclResult_t code, const char* what) {
  require(code == ncclSuccess, "[nccl] {} failed: {}", what, ncclGetErrorString(code));
}

}  // namespace

NcclId make_nccl_id() {
  ncclUniqueId id;
  require_success(ncclGetUniqueId(&id), "ncclGetUniqueId");
  NcclId bytes;
  static_assert(sizeof id == sizeof bytes);
  std::memcpy(bytes.data(), &id, sizeof id);
  return bytes;
}

NcclCommunicator::NcclCommunicator(const NcclId& bytes, int rank, int size) : rank_(rank) {
  ncclUniqueId id;
  std::memcpy(&id, bytes.data(), sizeof id);
  require_success(ncclCommInitRank(&communicator_, size, id, rank), "ncclCommInitRank");
}

NcclCommunicator::~NcclCommunicator() { ncclCommDestroy(communicator_); }

void NcclCommunicator::all_gather(void* all, size_t bytes) const {
  const char* own = static_cast<const char*>(all) + bytes * size_t(rank_);
  require_success(ncclAllGather(own, all, bytes, ncclInt8, communicator_, cuda::current_stream().get()),
                  "ncclAllGather");
}

void NcclCommunicator::all_reduce(const std::vector<DeviceFloats>& tensors) const {
  require_success(ncclGroupStart(), "ncclGroupStart");  // NCCL moves all of them together
  for (const DeviceFloats& t : tensors)
    require_success(ncclAllReduce(t.values, t.values, size_t(t.count), ncclFloat32, ncclSum, communicator_,
                                  cuda::current_stream().get()),
                    "ncclAllReduce");
  require_success(ncclGroupEnd(), "ncclGroupEnd");
}

}  // namespace fovea
#endif
