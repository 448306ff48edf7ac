#pragma once
#include "cuda/platform.h"

namespace fovea {

// Sums over many blocks without a second launch: each block writes its partial sum, and the last one to
// arrive adds up all of them, in the order of the blocks, not of their arrival.
//
//   partial[blockIdx.x] = ...;                                // by any threads of the block
//   if (!is_last_block(ticket, gridDim.x)) return;
//   for (unsigned b = 0; b < gridDim.x; ++b) sum += partial[b];  // by any threads
//
// True in the last of the `blocks` blocks that call it with the same ticket, for all of the block's threads:
// there, what any of those blocks wrote before the call can be read. All threads must call it. The ticket
// must be 0 before the launch and is 0 after it: Stream::tickets() has such ones. Where groups of blocks
// finish by themselves, such as those of one tile of columns, each group has its ticket.
//
// A fence by one thread behind a barrier covers the stores of the whole block, and those read after the
// second one are read as they are, not from a stale cache line (PTX ISA, "Memory Consistency Model":
// causality order). Cooperative groups synchronise a grid in the same way.
__device__ inline bool is_last_block(unsigned* ticket, unsigned blocks) {
  __shared__ bool last;
  __syncthreads();
  if (threadIdx.x == 0 && threadIdx.y == 0) {
    __threadfence();
    last = atomicInc(ticket, blocks - 1) == blocks - 1;  // which sets it back to 0
    __threadfence();
  }
  __syncthreads();
  return last;
}

}  // namespace fovea
