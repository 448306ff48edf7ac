#pragma once
#include <cstdint>
#include <cstring>

namespace fovea {

// One register's worth of channels, as the compiler's own vector type: arithmetic on it applies to each lane,
// on any processor. The few kernels that block over registers by hand (depthwise convolution) are written
// with it once and serve AVX-512, AVX2 and plain SSE builds.
#if defined(__AVX512F__)
inline constexpr int simd_bytes = 64;
#elif defined(__AVX__)
inline constexpr int simd_bytes = 32;
#else
inline constexpr int simd_bytes = 16;
#endif

// Implements Simd<T>.
template <class T>
struct SimdOf {
  typedef T type __attribute__((vector_size(simd_bytes)));
};
template <class T>
using Simd = typename SimdOf<T>::type;

template <class T>
inline constexpr int64_t simd_lanes = simd_bytes / int64_t(sizeof(T));

// V is Simd<T>, or T itself where there are fewer channels than lanes. The address needs no alignment.
template <class V, class T>
[[gnu::always_inline]] inline V load(const T* from) {
  V value;
  std::memcpy(&value, from, sizeof value);
  return value;
}
template <class V, class T>
[[gnu::always_inline]] inline void store(T* to, V value) {
  std::memcpy(to, &value, sizeof value);
}

// Calls f.operator()<V>(c) for blocks of channels that cover 0 .. channels-1. If channels is not a multiple
// of the lanes, the last block overlaps the one before it: f must store what does not depend on earlier
// blocks, never add to it.
template <class T, class F>
[[gnu::always_inline]] inline void for_channel_blocks(int64_t channels, F&& f) {
  constexpr int64_t lanes = simd_lanes<T>;
  if (channels < lanes) {
    for (int64_t c = 0; c < channels; ++c) f.template operator()<T>(c);
    return;
  }
  int64_t c = 0;
  for (; c + lanes <= channels; c += lanes) f.template operator()<Simd<T>>(c);
  if (c < channels) f.template operator()<Simd<T>>(channels - lanes);
}

}  // namespace fovea
