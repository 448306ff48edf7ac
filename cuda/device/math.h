#pragma once
#include <cmath>
#include <cstdint>
#include <cstring>

#include "cuda/device/host_device.h"

namespace fovea {

// exp(x) without a branch or a call, so that loops over channels vectorise: x = n ln 2 + r with |r| <= ln 2 /
// 2, e^r by the Taylor series to r^7 (truncated at 6e-9 relative), 2^n put together from exponent bits.
// Within 2 ulp of std::exp; 0 below -87.3, and the largest finite floats above 88.7 stay finite: callers here
// never need the infinity.
FOVEA_HOST_DEVICE inline float exponential(float x) {
#ifdef __CUDA_ARCH__
  return expf(x);
#else
  const float clamped =
      x < -87.0f ? -87.0f : (x > 88.0f ? 88.0f : x);  // a NaN passes through both comparisons
  const float n = std::nearbyint(clamped * 1.44269504089f);
  const float r =
      (clamped - n * 0.693359375f) + n * 2.12194440e-4f;  // ln 2 in two parts: no cancellation error
  float p = 1.0f / 5040;
  p = p * r + 1.0f / 720;
  p = p * r + 1.0f / 120;
  p = p * r + 1.0f / 24;
  p = p * r + 1.0f / 6;
  p = p * r + 0.5f;
  p = p * r + 1.0f;
  p = p * r + 1.0f;
  const int32_t exponent = int32_t(n == n ? n : 0.0f);
  const int32_t bits = (exponent + 127) << 23;
  float scale;
  std::memcpy(&scale, &bits, sizeof scale);
  return p * scale;
#endif
}
FOVEA_HOST_DEVICE inline double exponential(double x) { return std::exp(x); }

// 1 / (1 + e^-x)
template <class T>
FOVEA_HOST_DEVICE inline T sigmoid_of(T x) {
  return T(1) / (T(1) + exponential(-x));
}

// log(1 + e^x) without overflow: max(x, 0) + log(1 + t), t = e^-|x| in (0, 1]. With s = t / (2 + t) <= 1/3,
// log(1 + t) = 2 atanh(s) = 2 (s + s^3/3 + s^5/5 + ...); to s^15/15 the rest is below 2e-9: vectorises,
// within 2 ulp.
FOVEA_HOST_DEVICE inline float softplus_of(float x) {
  const float t = exponential(x > 0.0f ? -x : x);
  const float s = t / (2.0f + t), q = s * s;
  float p = 1.0f / 15;
  p = p * q + 1.0f / 13;
  p = p * q + 1.0f / 11;
  p = p * q + 1.0f / 9;
  p = p * q + 1.0f / 7;
  p = p * q + 1.0f / 5;
  p = p * q + 1.0f / 3;
  p = p * q + 1.0f;
  return (x > 0.0f ? x : 0.0f) + 2.0f * s * p;
}
FOVEA_HOST_DEVICE inline double softplus_of(double x) {
  return (x > 0 ? x : 0) + std::log1p(std::exp(x > 0 ? -x : x));
}

}  // namespace fovea
