#pragma once
#include <cstdint>

namespace fovea::cuda {

// The kernels that tensors themselves need. T: float, double, bfloat16, int32_t, int64_t, uint8_t.
template <class T>
void fill(T* x, T value, int64_t n);  // x = value
template <class T>
void accumulate(T* sum, const T* term, int64_t n);  // sum += term

}  // namespace fovea::cuda
