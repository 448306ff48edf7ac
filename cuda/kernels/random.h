#pragma once
#include <cstdint>

#include "cuda/device/noise.h"

namespace fovea::cuda {

// x[i] = normal number i (mean 0, variance 1) of `noise`, for i of 0 .. n-1. T: float, double, bfloat16,
// which only rounds the number; noise.step, where there is one, is device memory.
template <class T>
void fill_normal(T* x, int64_t n, NoiseKey noise);

}  // namespace fovea::cuda
