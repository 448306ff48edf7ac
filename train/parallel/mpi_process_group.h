#pragma once
#include <memory>

#include "cuda/runtime/process_group.h"

namespace fovea {

// The processes that `mpirun -np N` started, of which this program is one; null where it was started by
// itself. Its threads are this process's share of the machine's cores from then on, unless OMP_NUM_THREADS
// says how many. On CUDA the processes exchange numbers by NCCL where it was found when Fovea was built
// (FOVEA_NCCL), otherwise by way of the host, and then no step is captured as a graph. The destructor waits
// for the other processes, except while an error is thrown. Throws Error where the program was started by
// mpirun but built without MPI.
std::unique_ptr<ProcessGroup> join_processes();

// The rank of this process while it is in such a group; otherwise 0.
int joined_rank();

// For a program that ends with an error: the other processes would wait for this one for ever, so all of them
// end, with exit code 1. Returns where this process is in no group.
void abort_processes();

}  // namespace fovea
