#pragma once
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "cli/predict/code_table.h"
#include "cli/predict/gpu.h"
#include "cuda/runtime/error.h"

namespace fovea {

inline std::string text_of(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  if (!in) throw CudaError(fmt::format("{} cannot be read", file.string()));
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

// nvcc's code of the kernels in every file for which keep_code left it in `folder`, for "sm_75" or "sm_90".
inline std::vector<cuda::KernelCode> kept_code(const std::filesystem::path& folder,
                                               const std::string& architecture) {
  const std::string suffix = ".compute_" + architecture.substr(3) + ".ptx";
  std::vector<cuda::KernelCode> result;
  std::set<std::filesystem::path> files;  // in the same order everywhere
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (!entry.path().filename().string().ends_with(".cu.o.code")) continue;
    for (const auto& file : std::filesystem::directory_iterator(entry))
      if (file.path().filename().string().ends_with(suffix)) files.insert(file.path());
  }
  for (const std::filesystem::path& file : files) {
    std::vector<cuda::KernelCode> kernels = cuda::read_ptx(text_of(file));
    cuda::add_ptxas_report(text_of(file.parent_path() / "ptxas.txt"), architecture, kernels);
    result.insert(result.end(), kernels.begin(), kernels.end());
  }
  return result;
}

// How much of a multiprocessor a kernel can fill, given its registers and static shared memory: in blocks of
// __launch_bounds__, or of 256 threads without these.
struct Occupancy {
  const cuda::Gpu& gpu;  // one of the kernel's architecture
  int threads, blocks, warps;
};
inline Occupancy occupancy_of(const cuda::KernelCode& kernel) {
  const cuda::Gpu& gpu = cuda::find_gpu(kernel.architecture == "sm_75" ? "T4" : "H200");
  const int threads = kernel.max_threads > 0 ? kernel.max_threads : 256;
  const int blocks = cuda::blocks_per_multiprocessor(gpu, threads, kernel.registers, kernel.shared_bytes);
  return {gpu, threads, blocks, blocks * ((threads + 31) / 32)};
}

}  // namespace fovea
