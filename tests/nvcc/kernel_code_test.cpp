// nvcc's code of every kernel, for the oldest GPU and for sm_90: read from its PTX and from ptxas' report, so
// that no GPU is needed. The problem behind each rule was observed on an H200 (bench/results/h200.md);
// planted.cu breaks each rule.
#include <algorithm>
#include <catch2/catch.hpp>
#include <regex>

#include "tests/nvcc/kept_code.h"

using namespace fovea;
using cuda::KernelCode;

namespace {

bool has(const KernelCode& kernel, const std::string& word) {
  return kernel.name.find(word) != std::string::npos;
}

std::vector<std::string> arguments_of(const std::string& name) {
  std::vector<std::string> result;
  const size_t open = std::min(name.find('<'), name.size());
  static const std::regex word("[^<>, ]+");  // also those of arguments that are templates
  for (std::sregex_iterator it(name.begin() + long(open), name.end(), word), end; it != end; ++it)
    result.push_back(it->str());
  return result;
}

// Naive kernels, and fast ones for numbers of channels that are not whole packs, move single numbers.
bool moves_packs(const KernelCode& kernel) {
  static const std::regex packed(
      "_packed|_tiled|_diagonals|_chunks|_chunked|_boxes|_strips|node_|upsample_backward");
  // These read single numbers: sums over any axes, words of any size, anchors, and the sums of chunks.
  static const std::regex single(
      "sum_to_tiled|transpose_tiled|best_anchors|best_truths|_from_chunks|add_chunks");
  const std::vector<std::string> arguments = arguments_of(kernel.name);
  if (has(kernel, "_naive") || !std::regex_search(kernel.name, packed) ||
      std::regex_search(kernel.name, single))
    return false;
  const bool channels =
      std::regex_search(kernel.name, std::regex("(chunks|node_forward|node_gradient|upsample_backward)<"));
  return !(channels && std::find(arguments.begin(), arguments.end(), "1") != arguments.end());
}

int count_of(const std::map<int, int>& accesses, int bytes) {
  const auto found = accesses.find(bytes);
  return found == accesses.end() ? 0 : found->second;
}

// Where a kernel that is not one for doubles has double arithmetic in a loop, with the reason.
bool double_is_meant(const KernelCode& kernel) {
  static const std::regex meant(
      "_naive|"          // definitions, and axes of at most 16 numbers
      "^mean_loss|"      // one block adds a partial sum for each block
      "^norm_chunked");  // squares of float32 overflow in float32
  const std::vector<std::string> arguments = arguments_of(kernel.name);
  return std::find(arguments.begin(), arguments.end(), "double") != arguments.end() ||
         std::regex_search(kernel.name, meant);
}

struct Fault {
  std::string kernel, what;
};

// Warps that a kernel must leave room for on a multiprocessor: they hide the latency of memory.
constexpr int min_warps = 10;

std::vector<Fault> faults(const std::vector<KernelCode>& kernels) {
  std::vector<Fault> result;
  const auto add = [&](const KernelCode& kernel, std::string what) {
    result.push_back({kernel.name, std::move(what)});
  };
  for (const KernelCode& kernel : kernels) {
    if (kernel.stack_bytes > 0 && kernel.spill_bytes == 0)
      add(kernel, fmt::format("{} bytes of local memory: an array whose index is not a constant",
                              kernel.stack_bytes));
    if (kernel.spill_bytes > 0) add(kernel, fmt::format("{} bytes of spilled registers", kernel.spill_bytes));
    const Occupancy occupancy = occupancy_of(kernel);
    if (occupancy.warps < min_warps)
      add(kernel, fmt::format("{} registers leave room for {} warps of {}", kernel.registers, occupancy.warps,
                              occupancy.gpu.max_warps));
    if (moves_packs(kernel)) {
      // An optimizer's tail of fewer numbers than a pack is stored once, number by number.
      const bool tail = has(kernel, "each_number_chunked");
      // A channel's coefficients are stored by one thread, its neighbours' by the next ones.
      const bool coefficients = std::regex_search(kernel.name, std::regex("^(sum|finish|whole)_chunks"));
      const int single = has(kernel, "bfloat16")  ? count_of(kernel.stores, 2)
                         : (tail || coefficients) ? 0
                                                  : count_of(kernel.stores_in_loops, 4);
      const bool bytes =
          has(kernel, "unsigned char") || has(kernel, "node_gradient");  // packs of 4 of these are 4 bytes
      if (single > 0 && !bytes) add(kernel, fmt::format("{} stores of single numbers", single));
      // All channels of a strip read image values one by one.
      if (has(kernel, "bfloat16") && count_of(kernel.loads, 2) > 0 && !has(kernel, "_strips"))
        add(kernel, fmt::format("{} loads of single numbers", count_of(kernel.loads, 2)));
      const auto whole = [](const std::map<int, int>& accesses) {
        return accesses.empty() || accesses.rbegin()->first >= 8;
      };
      if (!whole(kernel.loads) && !whole(kernel.stores)) add(kernel, "no access of 8 or 16 bytes");
    }
    if (kernel.double_operations_in_loops > 0 && !double_is_meant(kernel))
      add(kernel, fmt::format("{} operations in double in a loop: 1/64 of the rate on GPUs made for games",
                              kernel.double_operations_in_loops));
  }
  return result;
}

}  // namespace

TEST_CASE("nvcc keeps every kernel in registers, whole packs, and out of double") {
  for (const std::string architecture : {"sm_75", "sm_90"}) {
    const std::vector<KernelCode> kernels = kept_code(FOVEA_KERNEL_CODE, architecture);
    CHECK(kernels.size() > 500);
    CHECK(std::count_if(kernels.begin(), kernels.end(), moves_packs) > 150);
    for (const Fault& fault : faults(kernels))
      FAIL_CHECK(architecture << ", " << fault.kernel << ": " << fault.what);
  }
}

TEST_CASE("each planted fault is found") {
  for (const std::string architecture : {"sm_75", "sm_90"}) {
    CAPTURE(architecture);
    std::map<std::string, std::string> found;
    for (const Fault& fault : faults(kept_code(FOVEA_PLANTED_CODE, architecture)))
      found[fault.kernel] += fault.what;
    CHECK_THAT(found["planted_stack"], Catch::Contains("64 bytes of local memory"));
    CHECK_THAT(found["planted_spill"], Catch::Contains("bytes of spilled registers"));
    CHECK_THAT(found["planted_registers"], Catch::Contains("leave room for 8 warps"));
    CHECK_THAT(found["planted_packed<float>"], Catch::Contains("stores of single numbers"));
    CHECK_THAT(found["planted_packed<bfloat16>"], Catch::Contains("8 stores of single numbers"));
    CHECK_THAT(found["planted_wide_sum"], Catch::Contains("operations in double in a loop"));
    CHECK(found.size() == 6);
  }
}

TEST_CASE("the table of kernels that predictions read is of these kernels") {
  const std::vector<KernelCode> kernels = kept_code(FOVEA_KERNEL_CODE, "sm_90");
  const std::string table = text_of(FOVEA_CODE_TABLE), now = cuda::write_code_table(kernels, FOVEA_NVCC);
  const auto names = [](const std::string& text) {
    std::vector<std::string> result;
    for (const auto& [name, code] : cuda::read_code_table(text).kernels) result.push_back(name);
    return result;
  };
  INFO("run scripts/kernel_report --update");
  CHECK(names(table) == names(now));
  if (cuda::read_code_table(table).compiler == FOVEA_NVCC)
    CHECK(table == now);
  else
    WARN("the table is of " << cuda::read_code_table(table).compiler << ", this is " << FOVEA_NVCC
                            << ": only the names were compared");
}
