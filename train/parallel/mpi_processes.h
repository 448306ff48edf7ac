#pragma once

namespace fovea {

// Makes this program one of those that `mpirun -np N` started: processes() (core/processes.h) is theirs from
// then on, and its threads are this process's share of the machine's cores, unless OMP_NUM_THREADS says how
// many. Nothing happens where it was started alone. Throws Error where it was started by mpirun, but built
// without MPI.
void join_processes();

// For a training on CUDA, before anything else asks for the device: cuda::peers() are the devices of all
// processes then, one GPU for each. They exchange their numbers by NCCL where it was found when Fovea was
// built (FOVEA_NCCL), else by way of the host, and then no step is captured as a graph. Throws Error and
// CudaError.
void join_devices();

// At the end of a program: waits for the others. processes() is null from then on.
void leave_processes();

// After an error: the others would wait for this process for ever, so all of them end, with exit code 1.
// Returns where the program is alone.
void end_all_processes();

}  // namespace fovea
