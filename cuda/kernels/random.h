#pragma once
#include <cstdint>

#include "cuda/device/random_key.h"

namespace fovea::cuda {

// x[i] = normal number i (mean 0, variance 1) of `key`, for i of 0 .. n-1. T: float, double, bfloat16, which
// only rounds the number; key.step, if not null, is device memory.
template <class T>
void fill_normal(T* x, int64_t n, RandomKey key);

// The same, uniform in [low, high), where rounding may reach high.
template <class T>
void fill_uniform(T* x, int64_t n, RandomKey key, float low, float high);

}  // namespace fovea::cuda
