#pragma once
#include <functional>
#include <vector>

#include "core/autograd.h"

namespace fovea {

// An op whose arguments are bound, except its tensors.
using OpFunction = std::function<Tensor(const Tensors& inputs)>;

// What check_op() runs and how exact the results must be.
struct CheckOptions {
  uint64_t seed = 1;   // of the random cotangent
  double step = 1e-5;  // of the central difference, times max(1, |x|)
  double gradient_tolerance =
      1e-6;  // |analytic - numeric| <= tolerance * max(1, |analytic|, |numeric|), float64
  double float32_tolerance =
      2e-5;  // norm of the difference from float64 over the norm, outputs and gradients
  int64_t max_probes =
      200;  // elements probed per input (spread evenly); the numeric gradient runs the op twice each
  bool float32 = true;  // also run in float32
  bool cuda = true;     // also run on Device::cuda, a GPU or the simulator
  // The same for bfloat16 on Device::cuda, whose numbers have 8 significant bits.
  double bfloat16_tolerance = 1e-2;
  // Inputs that stay float32 where the others are bfloat16: parameters and statistics, by index.
  std::vector<int> parameters = {};
};

// Checks an op and throws Error naming the first thing that is wrong. It compares
//  1. in float64, each input's gradient of sum(v * f(inputs)) for a random v (a plain sum would hide
//     transposed or cancelling gradients) with central differences; gradients start from noise, so
//     assigning instead of adding shows, here and on CUDA in float64;
//  2. in float32, output and gradients with float64;
//  3. in float32, the bits on 1, 2 and 3 threads;
//  4. on Device::cuda: float64 with the CPU's, to 1e-10 of the norm, float32 and bfloat16 within
//     their tolerances, and in the simulator the bits when threads and blocks start forwards,
//     backwards or shuffled. The simulator also checks each access for bounds, uninitialised reads and races
//     (cuda/sim/README.md).
// `inputs` are float64; those with requires_grad() set are differentiated, or all floating ones if none is. f
// must be a pure function of its inputs' numbers (the caller resets batch-norm running averages and the
// like). The number and the order of threads are restored when it returns, and when f or a check throws.
void check_op(const OpFunction& f, const Tensors& inputs, const CheckOptions& options = {});

// Returns the distance ||a - b|| / max(||b||, tiny) of two tensors of the same shape, in double.
double relative_difference(const Tensor& a, const Tensor& b);

}  // namespace fovea
