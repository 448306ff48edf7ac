#pragma once
#include <cstdint>
#include <cstring>

#include "cuda/device/host_device.h"

namespace fovea {

// The upper half of a float: 8 exponent and 8 significant bits. It is for storage; arithmetic is in float.
struct bfloat16 {
  uint16_t bits = 0;

  bfloat16() = default;
  // Rounds to nearest, ties to even; a NaN stays a NaN, with unspecified bits.
  FOVEA_HOST_DEVICE explicit bfloat16(float value) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
    // One instruction, also for two neighbours that are stored together (F2FP.BF16.F32.PACK_AB).
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(bits) : "f"(value));
#else
    uint32_t word;
    memcpy(&word, &value, sizeof word);
    bits = value != value ? uint16_t(word >> 16 | 0x40) : uint16_t((word + 0x7FFF + (word >> 16 & 1)) >> 16);
#endif
  }
  // Exact.
  FOVEA_HOST_DEVICE explicit operator float() const {
    const uint32_t word = uint32_t(bits) << 16;
    float value;
    memcpy(&value, &word, sizeof value);
    return value;
  }
};

// The type in which numbers stored as T are computed with, and in which their parameters, statistics and sums
// are stored: float for float and bfloat16, double for double.
template <class T>
struct AccumulatorOf {
  using type = T;  // implements Accumulator<T>
};
template <>
struct AccumulatorOf<bfloat16> {
  using type = float;  // there is no arithmetic in bfloat16
};
template <class T>
using Accumulator = typename AccumulatorOf<T>::type;

}  // namespace fovea
