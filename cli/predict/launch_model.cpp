#include "cli/predict/launch_model.h"

#include <algorithm>
#include <cmath>

namespace fovea::cuda {
namespace {

// Fitted to the times of the kernels in three training steps on an H200 (bench/results/h200.md): seconds,
// cycles and shares. The same constants serve for every GPU.
constexpr double launch_seconds = 0.9e-6;                          // overhead of a launch in a graph
constexpr double memory_seconds = 0.6e-6, cache_seconds = 0.3e-6;  // from a load to its value
constexpr double memory_share = 0.85, cache_share = 1.3;           // of the copy rate
constexpr double barrier_cycles = 200;                             // including the wait for the slowest warp
constexpr double cycles_alone = 3;   // per instruction of a warp that waits for its own results
constexpr double issue_share = 0.9;  // of the four instructions a cycle, with many warps

// For how long m16n8k16 keeps a scheduler's tensor core, which works beside the other units: 2048
// multiply-adds at 512 a cycle, of which mma reaches 63 % on an H100 (arXiv 2402.13499). No kernel with such
// products has been measured yet.
constexpr double product_cycles = 6.4;

// Matrix products run in a library whose kernels and tiles are not known.
constexpr double gemm_seconds = 3e-6, gemm_share = 0.68;

// The share of a launch's bytes that the launch before it left in the L2 cache: all of them while they fit,
// none of them once they are twice its size.
double cached_share(double bytes, const Gpu& gpu) {
  return std::clamp((2 * double(gpu.l2_bytes) - bytes) / double(gpu.l2_bytes), 0.0, 1.0);
}

LaunchPrediction bounded_by_bytes(double bytes, double fixed, double rate) {
  LaunchPrediction result;
  result.seconds = fixed + bytes / rate;
  result.limit = bytes / rate > fixed ? Limit::bytes : Limit::launch;
  return result;
}

}  // namespace

const char* name(Limit limit) {
  switch (limit) {
    case Limit::launch:
      return "launch";
    case Limit::latency:
      return "latency";
    case Limit::bytes:
      return "bytes";
    case Limit::instructions:
      return "instructions";
    case Limit::products:
      return "products";
  }
  return "";
}

LaunchPrediction predict(const LaunchTime& launch, const Gpu& gpu, const CodeTable& table) {
  const double bytes = double(launch.bytes), cached = cached_share(bytes, gpu);
  const double rate = gpu.bandwidth * (memory_share + cached * (cache_share - memory_share));
  const LaunchShape& shape = launch.shape;
  if (shape.blocks == 0)
    return launch.kernel == "gemm" ? bounded_by_bytes(bytes, gemm_seconds, gpu.bandwidth * gemm_share)
                                   : bounded_by_bytes(bytes, launch_seconds, rate);
  LaunchPrediction result;
  KernelCode code;
  code.registers = 64;
  code.step = {100, 1, 32, 16, 0};
  const auto found = table.kernels.find(launch.kernel);
  result.known = found != table.kernels.end();
  if (result.known) code = found->second;

  // The work of one thread. The number of its steps comes from the launch, or from the bytes to be moved.
  // Loops of unknown length within a step (windows of a pool) are assumed too long rather than too short: the
  // bytes correct that.
  const double threads = double(shape.threads) * double(shape.blocks);
  const double step_bytes = code.step.loaded + code.step.stored;
  double steps = double(shape.steps), share = 1;
  if (steps == 0) steps = step_bytes > 0 ? std::max(1.0, bytes / (threads * step_bytes)) : 1;
  if (code.varies && step_bytes > 0) share = std::min(1.0, bytes / (threads * steps * step_bytes));
  const double instructions = code.once.instructions + steps * share * code.step.instructions;
  const double rounds =
      code.once.rounds + steps * std::max(share * code.step.rounds, std::min(code.step.rounds, 1.0));
  const double barriers = code.once.barriers + steps * share * code.step.barriers;
  const double products = code.once.products + steps * share * code.step.products;

  // How the blocks are distributed over the multiprocessors.
  const int64_t shared_bytes = code.shared_bytes + int64_t(shape.shared_bytes);
  const int held = blocks_per_multiprocessor(gpu, shape.threads, code.registers, shared_bytes);
  result.blocks_per_multiprocessor = std::max(1, held);
  const double at_once = double(result.blocks_per_multiprocessor) * gpu.multiprocessors;
  const double busy = std::min(double(shape.blocks), at_once);
  result.waves = double(shape.blocks) / at_once;
  result.bytes_in_flight = busy * shape.threads * code.step.loaded / std::max(code.step.rounds, 1.0);

  const double load_seconds = memory_seconds + cached * (cache_seconds - memory_seconds);
  const double latency =
      rounds * load_seconds +
      (instructions * cycles_alone + barriers * barrier_cycles + products * product_cycles) / gpu.clock;
  // The last block's part, of which what it reads has just been written.
  const double finishing =
      code.last.rounds * cache_seconds +
      (code.last.instructions * cycles_alone + code.last.barriers * barrier_cycles) / gpu.clock;
  const double waiting = latency * std::max(1.0, result.waves) + finishing;
  // The multiprocessor with most blocks sets the time.
  const double blocks_here =
      std::max(std::ceil(busy / gpu.multiprocessors), double(shape.blocks) / gpu.multiprocessors);
  const double warps = std::ceil(shape.threads / 32.0);
  const double issuing = blocks_here * warps * instructions / (4 * issue_share * gpu.clock);
  const double multiplying = blocks_here * warps * products * product_cycles / (4 * gpu.clock);
  const double moving = bytes / rate;
  // They overlap, but not completely: the cube root of the sum of cubes is a little more than the largest.
  double cubes = 0;
  for (const double part : {waiting, issuing, multiplying, moving}) cubes += part * part * part;
  const double working = std::cbrt(cubes);
  result.seconds = launch_seconds + working;
  const double most = std::max({waiting, issuing, multiplying, moving});
  result.limit = working < launch_seconds ? Limit::launch
                 : most == moving         ? Limit::bytes
                 : most == issuing        ? Limit::instructions
                 : most == multiplying    ? Limit::products
                                          : Limit::latency;
  return result;
}

}  // namespace fovea::cuda
