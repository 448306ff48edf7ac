#pragma once
#include <vector>

#include "cuda/predict/gpu.h"
#include "cuda/predict/kernel_code.h"
#include "cuda/runtime/profile.h"

namespace fovea::cuda {

// What limits a launch.
enum class Limit { floor, latency, bytes, instructions };
const char* name(Limit limit);

// A launch on a GPU that need not be here.
struct LaunchPrediction {
  double seconds = 0;
  Limit limit = Limit::floor;
  int blocks_per_multiprocessor = 0;  // that it can hold
  double waves = 0;                   // the launch's blocks over those that the GPU holds at once
  double bytes_in_flight = 0;         // that its threads ask for before they wait, on the whole GPU
  bool known = true;  // false where code_table() does not have the kernel: 64 registers were assumed
};

// docs/cuda.md has the model and how far it was off where it could be measured:
//   seconds = launch + max(latency x waves, bytes / rate, instructions / issue rate)
// `latency` is what one thread takes from its first instruction to its last with its warps around it. The
// table of kernels is of sm_90; for other GPUs only registers and clocks differ in the prediction.
LaunchPrediction predict(const LaunchTime& launch, const Gpu& gpu, const CodeTable& table);

}  // namespace fovea::cuda
