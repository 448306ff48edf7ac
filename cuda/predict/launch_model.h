#pragma once
#include <vector>

#include "cuda/predict/gpu.h"
#include "cuda/predict/kernel_code.h"
#include "cuda/runtime/profile.h"

namespace fovea::cuda {

// What limits a launch.
enum class Limit { launch, latency, bytes, instructions };
const char* name(Limit limit);

// A launch on a GPU that need not be here.
struct LaunchPrediction {
  double seconds = 0;
  Limit limit = Limit::launch;
  int blocks_per_multiprocessor = 0;  // that it can hold
  double waves = 0;                   // the launch's blocks over those that the GPU holds at once
  double bytes_in_flight = 0;         // that its threads ask for before they wait, on the whole GPU
  bool known = true;  // false where code_table() does not have the kernel: 64 registers were assumed
};

// The time of a launch in a graph, on a GPU that need not be here. docs/cuda.md has the model, and how far it
// was off:
//   seconds = launch + (latency x waves, bytes / rate, instructions / issue rate), of which the largest
//   counts most
// `latency` is what a thread takes from its first instruction to its last: its loads that wait for one
// another, its instructions, its barriers. The table of kernels is of sm_90: for another GPU what nvcc makes
// for it may differ.
LaunchPrediction predict(const LaunchTime& launch, const Gpu& gpu, const CodeTable& table);

}  // namespace fovea::cuda
