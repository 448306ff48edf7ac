#pragma once
#include <cstdint>

#include "cuda/device/bfloat16.h"
#include "cuda/device/random_key.h"

namespace fovea::cuda {

// T: float, double, bfloat16; key.step, if not null, is device memory.

// y[i] = x[i] survival(word i, p) for i of 0 .. n-1
template <class T>
void dropout(const T* x, T* y, int64_t n, float p, RandomKey key);

// branch, shortcut and y (samples, size): y = shortcut (0 where null) + branch survival(word of the sample,
// p)
template <class T>
void stochastic_depth(const T* branch, const T* shortcut, T* y, int64_t samples, int64_t size, float p,
                      RandomKey key);

}  // namespace fovea::cuda
