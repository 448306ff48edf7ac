#pragma once
#include <memory>

#include "cuda/runtime/process_group.h"

namespace fovea {

// The processes that `mpirun -np N` started, of which this program is one; null if it was started without
// mpirun. From then on it uses as many threads as its share of the machine's cores, unless OMP_NUM_THREADS is
// set. On CUDA the processes exchange numbers through NCCL if Fovea was built with it (FOVEA_NCCL), otherwise
// through the host, and then no step is captured as a graph. The destructor waits for the other processes,
// except while an error is thrown. Throws Error if the program was started by mpirun but built without MPI.
std::unique_ptr<ProcessGroup> join_processes();

// The rank of this process while it is in such a group; otherwise 0.
int joined_rank();

// For a program that ends with an error: the other processes would wait for this one forever, so this ends
// all of them with exit code 1. Returns if this process is in no group.
void abort_processes();

}  // namespace fovea
