#include "train/parallel/nccl_peers.h"

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

class NcclPeers : public cuda::Peers {
 public:
  NcclPeers(const ncclUniqueId& id, int rank, int count) : rank_(rank), count_(count) {
    require_success(ncclCommInitRank(&communicator_, count, id, rank), "ncclCommInitRank");
  }
  ~NcclPeers() override { ncclCommDestroy(communicator_); }
  int rank() const override { return rank_; }
  int count() const override { return count_; }
  bool can_be_captured() const override { return true; }

  void gather(void* all, size_t bytes) override {
    const char* own = static_cast<const char*>(all) + bytes * size_t(rank_);
    require_success(ncclAllGather(own, all, bytes, ncclInt8, communicator_, cuda::current_stream().get()),
                    "ncclAllGather");
  }

  void sum(const std::vector<cuda::DeviceFloats>& tensors) override {
    require_success(ncclGroupStart(), "ncclGroupStart");  // NCCL moves them together
    for (const cuda::DeviceFloats& t : tensors)
      require_success(ncclAllReduce(t.values, t.values, size_t(t.count), ncclFloat32, ncclSum, communicator_,
                                    cuda::current_stream().get()),
                      "ncclAllReduce");
    require_success(ncclGroupEnd(), "ncclGroupEnd");
  }

 private:
  ncclComm_t communicator_ = nullptr;
  int rank_, count_;
};

}  // namespace

NcclId nccl_id() {
  ncclUniqueId id;
  require_success(ncclGetUniqueId(&id), "ncclGetUniqueId");
  NcclId bytes;
  static_assert(sizeof id == sizeof bytes);
  std::memcpy(bytes.data(), &id, sizeof id);
  return bytes;
}

std::unique_ptr<cuda::Peers> nccl_peers(const NcclId& bytes, int rank, int count) {
  ncclUniqueId id;
  std::memcpy(&id, bytes.data(), sizeof id);
  return std::make_unique<NcclPeers>(id, rank, count);
}

}  // namespace fovea
#endif
