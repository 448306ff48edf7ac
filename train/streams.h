#pragma once
#include <cstdint>

namespace fovea {

// The independent sequences of random numbers of one training (core/random.h): the upper byte says what for,
// the rest which one. Every number is so a function of the seed and the step alone, and a resumed training
// draws the ones it would have drawn.
enum class Stream : uint64_t { weights = 1, order, augmentation, noise };

inline uint64_t stream_of(Stream purpose, int64_t index = 0) {
  return (uint64_t(purpose) << 56) + uint64_t(index);
}

}  // namespace fovea
