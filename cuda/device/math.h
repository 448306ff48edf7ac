#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "cuda/device/bfloat16.h"
#include "cuda/device/host_device.h"

namespace fovea {

// exp(x) on the CPU, without a branch or a call, so that loops over channels vectorise: x = n ln 2 + r with
// |r| <= ln 2 / 2, e^r by the polynomial of degree 6 with the smallest maximum relative error (Remez), 1.9e-9,
// and 2^n from exponent bits. Adding 1.5 * 2^23 rounds x / ln 2 to n and leaves n in the low bits of the sum.
// Within 2 ulp of std::exp for x from -87 to 88. x is clamped to that range, so that the result is never 0 or
// infinite, which no caller needs. This clamps its bits: those of negative numbers, as unsigned integers, grow
// with the magnitude, and so do those of positive numbers, as signed integers. That takes one instruction for
// each bound; a comparison of floats takes two, and GCC splits the cases, which makes it more. A NaN gives a
// number: call this where the result is a NaN anyway.
inline float exponential_of_number(float x) {
  constexpr uint32_t minus_87 = 0xC2AE0000;
  constexpr int32_t plus_88 = 0x42B00000;
  uint32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  const int32_t bounded = std::min(int32_t(std::min(bits, minus_87)), plus_88);
  float clamped;
  std::memcpy(&clamped, &bounded, sizeof clamped);
  constexpr float round_by = 12582912.0f;
  const float shifted = clamped * 1.44269504089f + round_by, n = shifted - round_by;
  const float r =
      (clamped - n * 0.693359375f) + n * 2.12194440e-4f;  // ln 2 in two parts: no cancellation error
  float p = 1.383674204e-3f;
  p = p * r + 8.374898363e-3f;
  p = p * r + 4.166823180e-2f;
  p = p * r + 1.666641919e-1f;
  p = p * r + 4.999999203e-1f;
  p = p * r + 1.000000037f;
  p = p * r + 1.0f;
  std::memcpy(&bits, &shifted, sizeof bits);
  bits = (bits << 23) + (127u << 23);
  float scale;
  std::memcpy(&scale, &bits, sizeof scale);
  return p * scale;
}
inline double exponential_of_number(double x) { return std::exp(x); }

// exp(x)
FOVEA_HOST_DEVICE inline float exponential(float x) {
#ifdef __CUDA_ARCH__
  return expf(x);
#else
  return x == x ? exponential_of_number(x) : x;
#endif
}
FOVEA_HOST_DEVICE inline double exponential(double x) { return std::exp(x); }

// e^x for numbers that will be rounded to bfloat16, of which half a unit is a relative 2^-9: on a GPU in 2
// instructions. Rounding x / ln 2 to a float costs a relative |x| 2^-24. On a CPU nothing is saved.
FOVEA_HOST_DEVICE inline float short_exponential(float x) {
#ifdef __CUDA_ARCH__
  float power;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(power) : "f"(x * 1.44269502f));
  return power;
#else
  return exponential(x);
#endif
}
// The shorter of the two if Stored is bfloat16.
template <class Stored, class T>
FOVEA_HOST_DEVICE inline T exponential_for(T x) {
  if constexpr (std::is_same_v<Stored, bfloat16>)
    return short_exponential(x);
  else
    return exponential(x);
}

// 1 / (1 + e^-x). On a GPU in 8 instructions, within 2 ulp: e^-x = 2^t (1 + r ln 2), where t is -x / ln 2 as
// a float and r its rounding error. If t is infinite r would be a NaN, which min() drops.
FOVEA_HOST_DEVICE inline float sigmoid_of(float x) {
#ifdef __CUDA_ARCH__
  const float t = x * -1.44269502f, r = fminf(fmaf(x, -1.92596303e-8f, fmaf(x, -1.44269502f, -t)), 1.0f);
  float power, result;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(power) : "f"(t));
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(fmaf(power, fmaf(r, 0.693147181f, 1.0f), 1.0f)));
  return result;
#else
  return 1.0f / (1.0f + exponential(-x));
#endif
}
FOVEA_HOST_DEVICE inline double sigmoid_of(double x) { return 1.0 / (1.0 + exponential(-x)); }

// The same for numbers that will be rounded to bfloat16: on a GPU in 4 instructions.
FOVEA_HOST_DEVICE inline float short_sigmoid_of(float x) {
#ifdef __CUDA_ARCH__
  float result;
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(short_exponential(-x) + 1.0f));
  return result;
#else
  return sigmoid_of(x);
#endif
}
// The shorter of the two if Stored is bfloat16.
template <class Stored, class T>
FOVEA_HOST_DEVICE inline T sigmoid_for(T x) {
  if constexpr (std::is_same_v<Stored, bfloat16>)
    return short_sigmoid_of(x);
  else
    return sigmoid_of(x);
}

// x / (1 + e^-x), to be rounded to Stored.
template <class Stored, class T>
FOVEA_HOST_DEVICE inline T swish_for(T x) {
#ifdef __CUDA_ARCH__
  return x * sigmoid_for<Stored>(x);
#else
  return x / (T(1) + exponential_of_number(-x));
#endif
}

// log(1 + t) for t in [0, 1], as t p(t) with the p of degree 9 with the smallest maximum relative error
// (Remez), 4.7e-9. It vectorises, within 2 ulp.
FOVEA_HOST_DEVICE inline float log1p_of(float t) {
  float p = -3.244025176e-3f;
  p = p * t + 1.985146235e-2f;
  p = p * t - 5.695953424e-2f;
  p = p * t + 1.060365488e-1f;
  p = p * t - 1.530559257e-1f;
  p = p * t + 1.967593926e-1f;
  p = p * t - 2.495413366e-1f;
  p = p * t + 3.332996242e-1f;
  p = p * t - 4.999990242e-1f;
  p = p * t + 1.0f;
  return p * t;
}
FOVEA_HOST_DEVICE inline double log1p_of(double t) { return std::log1p(t); }
// The same for numbers that will be rounded to bfloat16, with the best p of degree 4, within 5.7e-5.
FOVEA_HOST_DEVICE inline float short_log1p_of(float t) {
  float p = 4.134730250e-2f;
  p = p * t - 1.574272073e-1f;
  p = p * t + 3.063009295e-1f;
  p = p * t - 4.969778053e-1f;
  p = p * t + 9.999432779e-1f;
  return p * t;
}
// The shorter of the two if Stored is bfloat16.
template <class Stored, class T>
FOVEA_HOST_DEVICE inline T log1p_for(T t) {
  if constexpr (std::is_same_v<Stored, bfloat16>)
    return short_log1p_of(t);
  else
    return log1p_of(t);
}

// 1 / sqrt(x); on a GPU one instruction, within 2 ulp.
FOVEA_HOST_DEVICE inline float reciprocal_sqrt(float x) {
#ifdef __CUDA_ARCH__
  return rsqrtf(x);
#else
  return 1.0f / std::sqrt(x);
#endif
}
FOVEA_HOST_DEVICE inline double reciprocal_sqrt(double x) { return 1.0 / std::sqrt(x); }

}  // namespace fovea
