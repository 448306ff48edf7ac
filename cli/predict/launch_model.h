#pragma once
#include <vector>

#include "cli/predict/code_table.h"
#include "cli/predict/gpu.h"
#include "cuda/runtime/profile.h"

namespace fovea::cuda {

// What limits a launch.
enum class Limit { launch, latency, bytes, instructions, products };
const char* name(Limit limit);

// The predicted cost of a launch on a GPU that need not be in this machine.
struct LaunchPrediction {
  double seconds = 0;
  Limit limit = Limit::launch;
  int blocks_per_multiprocessor = 0;  // that fit at once
  double waves = 0;                   // the launch's blocks over those that the GPU holds at once
  double bytes_in_flight = 0;         // requested by all resident threads before they wait
  bool known = true;  // false if code_table() does not have the kernel: 64 registers were assumed
};

// Predicts the time of a launch in a graph, on a GPU that need not be in this machine. docs/cuda.md describes
// the model and its measured error:
//   seconds = launch + cbrt((latency x waves)^3 + (bytes / rate)^3 + (instructions / issue rate)^3
//                           + (products / rate)^3)
// `latency` is the time one thread takes: its dependent loads, its instructions and its barriers. The table
// of kernels describes sm_90; nvcc may compile a kernel differently for another GPU.
LaunchPrediction predict(const LaunchTime& launch, const Gpu& gpu, const CodeTable& table);

}  // namespace fovea::cuda
