#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace fovea::cuda {

// The cost of what one thread executes in a part of a kernel.
struct CodeCost {
  double instructions = 0;        // machine instructions, estimated from PTX
  double rounds = 0;              // global loads, each of which waits for the one before it
  double loaded = 0, stored = 0;  // bytes, global memory, every access counted
  double barriers = 0;
  double products = 0;  // mma.m16n8k16, each of which is also counted as an instruction

  CodeCost& operator+=(const CodeCost& other);  // field by field
  CodeCost operator*(double factor) const;      // likewise
};

// The code that nvcc generates for one kernel and one architecture.
struct KernelCode {
  std::string name;                      // as short_kernel_name() (cuda/runtime/profile.h) writes it
  std::string architecture;              // "sm_90"
  int registers = 0, shared_bytes = 0;   // shared: static
  int max_threads = 0;                   // per block, from __launch_bounds__; 0: not given
  int stack_bytes = 0, spill_bytes = 0;  // local memory: for arrays, and for spilled registers
  std::map<int, int> loads, stores;      // global memory accesses: bytes of an access -> count
  std::map<int, int> stores_in_loops;
  int double_operations = 0, double_operations_in_loops = 0;
  CodeCost once;        // what a thread does outside its main loop
  CodeCost last;        // what one block does after all others (cuda/device/last_block.h)
  CodeCost step;        // one step of its main loop, which runs over elements, rows or tiles
  bool varies = false;  // a step contains loops whose length had to be assumed
};

// The kernels of one PTX file, without what only ptxas reports: registers, shared, stack and spill bytes.
// Throws CudaError if the text is not PTX.
std::vector<KernelCode> read_ptx(std::string_view ptx);
// Adds those from the output of `ptxas -v` (nvcc -Xptxas -v). Throws CudaError if it lacks a kernel.
void add_ptxas_report(std::string_view report, std::string_view architecture,
                      std::vector<KernelCode>& kernels);

}  // namespace fovea::cuda
