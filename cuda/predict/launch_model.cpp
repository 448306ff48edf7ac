#include "cuda/predict/launch_model.h"

#include <algorithm>
#include <cmath>

namespace fovea::cuda {
namespace {

// Fitted to the times and counters of an H200 (bench/results/h200.md), in seconds and cycles.
constexpr double launch_seconds = 1.9e-6;  // of an empty kernel in a graph
constexpr double load_seconds = 0.62e-6;   // from a load to its value, from memory
constexpr double barrier_cycles = 40;
constexpr double cycles_alone = 2.6;   // for an instruction of a warp that has a scheduler for itself
constexpr double issue_share = 0.72;   // of four instructions a cycle, with many warps
constexpr double traffic_share = 0.9;  // of the copy rate

// Of a library's product: its tiles are not known.
constexpr double gemm_seconds = 3.2e-6, gemm_share = 0.55;

LaunchPrediction bounded_by_bytes(double bytes, double fixed, double share, const Gpu& gpu) {
  LaunchPrediction result;
  result.seconds = fixed + bytes / (gpu.bandwidth * share);
  result.limit = bytes / (gpu.bandwidth * share) > fixed ? Limit::bytes : Limit::floor;
  return result;
}

}  // namespace

const char* name(Limit limit) {
  switch (limit) {
    case Limit::floor:
      return "launch";
    case Limit::latency:
      return "latency";
    case Limit::bytes:
      return "bytes";
    case Limit::instructions:
      return "instructions";
  }
  return "";
}

LaunchPrediction predict(const LaunchTime& launch, const Gpu& gpu, const CodeTable& table) {
  const double bytes = double(launch.bytes);
  if (launch.shape.blocks == 0)
    return launch.kernel == "gemm" ? bounded_by_bytes(bytes, gemm_seconds, gemm_share, gpu)
                                   : bounded_by_bytes(bytes, launch_seconds, traffic_share, gpu);
  const auto found = table.kernels.find(launch.kernel);
  LaunchPrediction result;
  result.known = found != table.kernels.end();
  KernelCode code;
  code.registers = 64;
  code.step = {100, 1, 32, 16, 0};
  if (result.known) code = found->second;

  const double blocks = double(launch.shape.blocks), threads = double(launch.shape.threads) * blocks;
  const double warps_of_block = std::ceil(launch.shape.threads / 32.0);
  // Steps of a thread: as the launch says, or as its bytes need. A step's loops of unknown length (windows of
  // a pool) are assumed too long rather than too short: the bytes correct that.
  const double step_bytes = code.step.loaded + code.step.stored;
  double steps = double(launch.shape.steps), share = 1;
  if (steps == 0) steps = step_bytes > 0 ? std::max(1.0, bytes / (threads * step_bytes)) : 1;
  if (code.varies && step_bytes > 0) share = std::min(1.0, bytes / (threads * steps * step_bytes));
  const double instructions = code.once.instructions + steps * share * code.step.instructions;
  const double rounds =
      code.once.rounds + steps * std::max(share * code.step.rounds, std::min(code.step.rounds, 1.0));
  const double barriers = code.once.barriers + steps * share * code.step.barriers;

  result.blocks_per_multiprocessor =
      std::max(1, blocks_per_multiprocessor(gpu, launch.shape.threads, code.registers,
                                            code.shared_bytes + int64_t(launch.shape.shared_bytes)));
  const double held = double(result.blocks_per_multiprocessor) * gpu.multiprocessors;
  result.waves = blocks / held;
  const double busy_blocks = std::min(blocks, held);
  const double rounds_loads = std::max(code.step.rounds, 1.0);
  result.bytes_in_flight = busy_blocks * launch.shape.threads * code.step.loaded / rounds_loads;

  const double issue_rate = 4 * issue_share;  // of a multiprocessor, a cycle
  const double alone = instructions * cycles_alone / gpu.clock;
  const double latency = rounds * load_seconds + alone + barriers * barrier_cycles / gpu.clock;
  // The multiprocessor with most blocks sets the time.
  const double blocks_here =
      std::max(std::ceil(busy_blocks / gpu.multiprocessors), blocks / gpu.multiprocessors);
  const double issued = blocks_here * warps_of_block * instructions / issue_rate / gpu.clock;
  const double moved = bytes / (gpu.bandwidth * traffic_share);
  const double waiting = latency * std::max(1.0, result.waves);
  result.seconds = launch_seconds + std::max({waiting, issued, moved});
  result.limit = moved >= waiting && moved >= issued ? Limit::bytes
                 : issued >= waiting                 ? Limit::instructions
                                                     : Limit::latency;
  if (std::max({waiting, issued, moved}) < launch_seconds) result.limit = Limit::floor;
  return result;
}

}  // namespace fovea::cuda
