#include "cli/predict/gpu.h"

#include <algorithm>
#include <cctype>

#include "cuda/runtime/error.h"

namespace fovea::cuda {

const std::vector<Gpu>& known_gpus() {
  // name, compute capability, multiprocessors, clock, copy rate, second-level cache, and per multiprocessor:
  // warps, blocks, registers, shared bytes. The H200's copy rate and clock were measured; the others' copy
  // rates are 0.84 of the data sheet's bandwidth, which is the share that the H200 reached.
  static const std::vector<Gpu> instance = {
      {"H200", 9, 0, 132, 1.75e9, 4.05e12, 60 << 20, 64, 32, 65536, 228 << 10},
      {"H100", 9, 0, 132, 1.75e9, 2.81e12, 50 << 20, 64, 32, 65536, 228 << 10},
      {"A100", 8, 0, 108, 1.41e9, 1.63e12, 40 << 20, 64, 32, 65536, 164 << 10},
      {"L4", 8, 9, 58, 1.60e9, 0.252e12, 48 << 20, 48, 24, 65536, 100 << 10},
      {"RTX4090", 8, 9, 128, 2.52e9, 0.847e12, 72 << 20, 48, 24, 65536, 100 << 10},
      {"T4", 7, 5, 40, 1.20e9, 0.269e12, 4 << 20, 32, 16, 65536, 64 << 10},
  };
  return instance;
}

const Gpu& find_gpu(const std::string& name) {
  const auto simplified = [](const std::string& text) {
    std::string result;
    for (const char c : text)
      if (std::isalnum(static_cast<unsigned char>(c)))
        result += char(std::tolower(static_cast<unsigned char>(c)));
    return result;
  };
  std::string names;
  for (const Gpu& gpu : known_gpus()) {
    if (simplified(gpu.name) == simplified(name)) return gpu;
    names += (names.empty() ? "" : ", ") + gpu.name;
  }
  throw CudaError("the GPU " + name + " is not in the table of GPUs: choose one of " + names);
}

int blocks_per_multiprocessor(const Gpu& gpu, int threads, int registers, int64_t shared_bytes) {
  const int warps = (threads + 31) / 32;
  if (warps == 0) return 0;
  const int of_warp = (registers * 32 + 255) / 256 * 256;
  // Registers belong to one of four schedulers, and so does a warp.
  const int warps_by_registers = of_warp > 0 ? gpu.registers / 4 / of_warp * 4 : gpu.max_warps;
  const int64_t reserved = gpu.major >= 8 ? 1024 : 0;
  const int64_t of_block = (shared_bytes + reserved + 127) / 128 * 128;
  int blocks = std::min({gpu.max_blocks, gpu.max_warps / warps, warps_by_registers / warps});
  if (of_block > 0) blocks = std::min(blocks, int(gpu.shared_bytes / of_block));
  return blocks;
}

}  // namespace fovea::cuda
