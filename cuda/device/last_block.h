#pragma once
#include "cuda/platform.h"

namespace fovea {

// Sums over many blocks without a second launch: each block writes its partial sum, and the last one to
// arrive adds all of them, in the order of the blocks rather than of their arrival.
//
//   partial[blockIdx.x] = ...;                                // by any threads of the block
//   if (!is_last_block(ticket, gridDim.x)) return;
//   for (unsigned b = 0; b < gridDim.x; ++b) sum += partial[b];  // by any threads
//
// Returns true to all threads of the last of the `blocks` blocks that call it with the same ticket: that
// block can read what any of the blocks wrote before the call. All threads must call it. The ticket must be 0
// before the launch and is 0 after it, like those of Stream::tickets(). If groups of blocks finish on their
// own, such as those of one tile of columns, each group has its own ticket.
//
// A fence by one thread after a barrier covers the stores of the whole block, and reads after the second
// fence get what was stored, not a stale cache line (PTX ISA, "Memory Consistency Model": causality order).
// Cooperative groups synchronise a grid in the same way.
__device__ inline bool is_last_block(unsigned* ticket, unsigned blocks) {
  __shared__ bool last;
  __syncthreads();
  if (threadIdx.x == 0 && threadIdx.y == 0) {
    __threadfence();
    last = atomicInc(ticket, blocks - 1) == blocks - 1;  // atomicInc sets it back to 0
    __threadfence();
  }
  __syncthreads();
  return last;
}

}  // namespace fovea
