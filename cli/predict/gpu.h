#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace fovea::cuda {

// The properties of a GPU that determine a launch's time. The GPU need not be in this machine.
struct Gpu {
  std::string name;          // "H200"
  int major = 0, minor = 0;  // compute capability
  int multiprocessors = 0;
  double clock = 0;      // Hz, under load
  double bandwidth = 0;  // bytes per second that a plain copy reads and writes
  int64_t l2_bytes = 0;  // second-level cache
  // Limits of one multiprocessor:
  int max_warps = 0, max_blocks = 0;
  int registers = 65536;
  int shared_bytes = 0;  // for all its blocks together
};

// The GPUs that can be predicted, from NVIDIA's data sheets and the CUDA C++ Programming Guide's table of
// compute capabilities.
const std::vector<Gpu>& known_gpus();

// Finds a GPU by its name, ignoring case: "h200". Throws CudaError, which lists the names, if it is not among
// them.
const Gpu& find_gpu(const std::string& name);

// The number of blocks of this size that a multiprocessor holds at once (CUDA C++ Programming Guide, compute
// capabilities). A warp gets registers in units of 256 and a block gets shared memory in units of 128 bytes;
// from compute capability 8.0 on, the system takes another 1 KB per block. 0 if not even one block fits.
int blocks_per_multiprocessor(const Gpu& gpu, int threads, int registers, int64_t shared_bytes);

}  // namespace fovea::cuda
