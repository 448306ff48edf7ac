#pragma once
#include <cmath>
#include <cstdint>
#include <cstring>

#include "cuda/platform.h"

namespace fovea {

// exp(x) without a branch or a call, so that loops over channels vectorise: x = n ln 2 + r with |r| <= ln 2 / 2, e^r by
// the Taylor series to r^7 (truncated at 6e-9 relative), 2^n put together from exponent bits. Within 2 ulp of std::exp;
// 0 below -87.3, and the largest finite floats above 88.7 stay finite: callers here never need the infinity.
HD inline float exponential(float x) {
#ifdef __CUDA_ARCH__
  return expf(x);
#else
  const float clamped = x < -87.0f ? -87.0f : (x > 88.0f ? 88.0f : x);  // a NaN passes through both comparisons
  const float n = std::nearbyint(clamped * 1.44269504089f);
  const float r = (clamped - n * 0.693359375f) + n * 2.12194440e-4f;  // ln 2 in two parts: no cancellation error
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
HD inline double exponential(double x) { return std::exp(x); }

template <class T>
HD inline T sigmoid_of(T x) {
  return T(1) / (T(1) + exponential(-x));
}

// log(1 + e^x) without overflow: max(x, 0) + log1p(e^-|x|).
template <class T>
HD inline T softplus_of(T x) {
  return (x > T(0) ? x : T(0)) + std::log1p(exponential(x > T(0) ? -x : x));
}

}  // namespace fovea
