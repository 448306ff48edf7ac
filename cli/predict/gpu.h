#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace fovea::cuda {

// What a launch's time depends on, for a GPU that need not be here.
struct Gpu {
  std::string name;          // "H200"
  int major = 0, minor = 0;  // compute capability
  int multiprocessors = 0;
  double clock = 0;      // Hz, under load
  double bandwidth = 0;  // bytes a second that a plain copy reads and writes
  int64_t l2_bytes = 0;  // second-level cache
  // Limits of one multiprocessor:
  int max_warps = 0, max_blocks = 0;
  int registers = 65536;
  int shared_bytes = 0;  // for all its blocks together
};

// The GPUs that predictions know: NVIDIA's data sheets and the CUDA C++ Programming Guide's table of compute
// capabilities.
const std::vector<Gpu>& known_gpus();

// By its name, in any case: "h200". Throws CudaError, which lists the names, where there is none of it.
const Gpu& find_gpu(const std::string& name);

// Blocks of so many threads that a multiprocessor holds at once (CUDA C++ Programming Guide, compute
// capabilities): registers are handed out to a warp by 256, shared memory by 128 bytes, and 1 KB of it to the
// system for each block from compute capability 8.0 on. 0 where not even one fits.
int blocks_per_multiprocessor(const Gpu& gpu, int threads, int registers, int64_t shared_bytes);

}  // namespace fovea::cuda
