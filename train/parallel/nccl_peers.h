#pragma once
#include <array>
#include <cstddef>
#include <memory>

#include "cuda/runtime/peers.h"

namespace fovea {

// What NCCL calls an ncclUniqueId: process 0 makes one, all others are told it.
using NcclId = std::array<std::byte, 128>;
NcclId nccl_id();

// GPUs that exchange their numbers by NCCL, each process its own; made by all processes together. Sums are
// NCCL's: the same bits in all processes, and in each run on the same machine. Throws Error where NCCL says
// no. In builds with FOVEA_NCCL alone.
std::unique_ptr<cuda::Peers> nccl_peers(const NcclId& id, int rank, int count);

}  // namespace fovea
