#pragma once
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "cuda/device/bfloat16.h"
#include "cuda/platform.h"

namespace fovea {

// A number converted to another type: bfloat16 via float, rounded to nearest even; integers towards zero.
template <class To, class From>
HD inline To converted(From x) {
  if constexpr (std::is_same_v<From, bfloat16> && !std::is_same_v<To, bfloat16>)
    return To(float(x));
  else if constexpr (std::is_same_v<To, bfloat16> && !std::is_same_v<From, bfloat16>)
    return bfloat16(float(x));
  else
    return To(x);
}

// A tensor as outer x a x middle x b x inner, whose axes a and b are exchanged; `inner` counts bytes.
struct TransposeDims {
  int64_t outer = 1, a = 1, middle = 1, b = 1, inner = 1;
};

namespace cuda {

// y[i] = converted<To>(x[i]) for i of 0 .. n-1. Any two of float, double, bfloat16, int32_t, int64_t,
// uint8_t.
template <class From, class To>
void cast(const From* x, To* y, int64_t n);

// Copies `rows` runs of `bytes` bytes; their starts are to_step and from_step bytes apart.
void copy_rows(std::byte* to, int64_t to_step, const std::byte* from, int64_t from_step, int64_t bytes,
               int64_t rows);

// y (outer, b, middle, a, inner) = x (outer, a, middle, b, inner)
void transpose(const std::byte* x, std::byte* y, const TransposeDims& dims);

}  // namespace cuda
}  // namespace fovea
