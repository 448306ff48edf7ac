#pragma once
#include <optional>
#include <string>
#include <vector>

#include "cli/predict/gpu.h"
#include "cuda/runtime/kernel_score.h"
#include "cuda/runtime/profile.h"

namespace fovea {

// Prints the launches of `what`, "one step", kernel by kernel, those that take longest first: how many, their
// bytes, their measured times where the device is a GPU, and what they are predicted to take on `gpu` where
// one is named. Throws Error where there is neither.
void print_launches(const std::string& what, const std::vector<cuda::LaunchTime>& launches,
                    const std::optional<cuda::Gpu>& gpu);

// Prints what the launches of `what` ask of the memory system, kernel by kernel, those that move most first.
void print_scores(const std::string& what, const std::vector<cuda::KernelScore>& scores);

// Writes each launch as a row of comma-separated values, in order: kernel, shape, bytes, measured
// microseconds (0 where the device is simulated) and the prediction. Throws Error where the file cannot be
// written.
void write_launches(const std::string& path, const std::vector<cuda::LaunchTime>& launches,
                    const cuda::Gpu& gpu);

}  // namespace fovea
