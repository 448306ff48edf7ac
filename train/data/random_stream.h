#pragma once
#include <cstdint>

namespace fovea {

// The independent sequences of random numbers in one training (core/random.h): the upper byte is the purpose,
// the rest the index. So every number is a function of the seed and the step, and a resumed training draws
// the ones it would have drawn. Dropout and stochastic depth have one stream for each process.
enum class RandomStream : uint64_t { weights = 1, order, augmentation, dropout, split, input_size };

// The stream with number `index`, below 2^56, for this purpose.
inline uint64_t stream_of(RandomStream purpose, int64_t index = 0) {
  return (uint64_t(purpose) << 56) + uint64_t(index);
}

}  // namespace fovea
