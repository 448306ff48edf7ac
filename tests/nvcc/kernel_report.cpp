// kernel_report [--update] [--architecture sm_75|sm_90] [part of a kernel's name]: scripts/kernel_report
// builds and runs it.
#include <cstdio>

#include "tests/nvcc/kept_code.h"

using namespace fovea;

namespace {

std::string widths(const std::map<int, int>& accesses) {
  std::string text;
  for (const auto& [bytes, count] : accesses)
    text += fmt::format("{}{}x{}", text.empty() ? "" : " ", count, bytes);
  return text;
}

void print(const std::string& architecture, const std::string& wanted) {
  std::map<std::string, cuda::KernelCode> sorted;
  for (const cuda::KernelCode& kernel : kept_code(FOVEA_KERNEL_CODE, architecture))
    sorted[kernel.name] = kernel;
  if (sorted.empty()) throw CudaError("no kernels of " + architecture + " were kept");
  fmt::print(
      "{}, by {}; blocks and warps that a multiprocessor of {} holds; accesses of global memory: how many x "
      "bytes\n",
      architecture, FOVEA_NVCC, occupancy_of(sorted.begin()->second).gpu.name);
  fmt::print("{:<60} {:>9} {:>6} {:>7} {:>6} {:>5} {:>5} {:>5}  {:<22} {}\n", "kernel", "registers", "shared",
             "threads", "blocks", "warps", "stack", "spill", "loads", "stores");
  for (const auto& [name, kernel] : sorted) {
    if (name.find(wanted) == std::string::npos) continue;
    const Occupancy occupancy = occupancy_of(kernel);
    fmt::print("{:<60} {:>9} {:>6} {:>7} {:>6} {:>5} {:>5} {:>5}  {:<22} {}\n", name, kernel.registers,
               kernel.shared_bytes, occupancy.threads, occupancy.blocks, occupancy.warps, kernel.stack_bytes,
               kernel.spill_bytes, widths(kernel.loads), widths(kernel.stores));
  }
  fmt::print("\n");
}

}  // namespace

int main(int argc, char** argv) try {
  std::string wanted;
  std::vector<std::string> architectures{"sm_75", "sm_90"};
  bool update = false;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    if (argument == "--update") {
      update = true;
    } else if (argument == "--architecture" && i + 1 < argc) {
      architectures = {argv[++i]};
      if (architectures[0] != "sm_75" && architectures[0] != "sm_90")
        throw CudaError("--architecture " + architectures[0] +
                        ": the kernels are compiled for sm_75 and sm_90");
    } else if (argument.starts_with("-")) {
      throw CudaError("unknown option " + argument);
    } else {
      wanted = argument;
    }
  }
  if (!update) {
    for (const std::string& architecture : architectures) print(architecture, wanted);
    return 0;
  }
  const std::vector<cuda::KernelCode> kernels = kept_code(FOVEA_KERNEL_CODE, "sm_90");
  const std::filesystem::path table = FOVEA_CODE_TABLE, beside = table.string() + ".new";
  std::ofstream(beside, std::ios::binary) << cuda::write_code_table(kernels, FOVEA_NVCC);
  std::filesystem::rename(beside, table);
  fmt::print("{} kernels: {}\n", kernels.size(), table.string());
  return 0;
} catch (const std::exception& error) {
  fmt::print(stderr, "kernel_report: {}\n", error.what());
  return 1;
}
