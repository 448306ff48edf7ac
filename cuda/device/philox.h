#pragma once
#include <cstdint>

#include "cuda/device/host_device.h"

namespace fovea {

// The result of one call of Philox.
struct PhiloxBlock {
  uint32_t word[4];
};

// Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011): four random words as
// a pure function of a 128-bit counter and a 64-bit key. It has no state, so element i of a tensor has the
// same random number on every device, for any number of threads and in any order.
FOVEA_HOST_DEVICE inline PhiloxBlock philox4x32(uint64_t key, uint64_t counter_low,
                                                uint64_t counter_high = 0) {
  uint32_t c0 = uint32_t(counter_low), c1 = uint32_t(counter_low >> 32);
  uint32_t c2 = uint32_t(counter_high), c3 = uint32_t(counter_high >> 32);
  uint32_t k0 = uint32_t(key), k1 = uint32_t(key >> 32);
  for (int round = 0; round < 10; ++round) {
    const uint64_t p0 = uint64_t(0xD2511F53u) * c0, p1 = uint64_t(0xCD9E8D57u) * c2;
    c0 = uint32_t(p1 >> 32) ^ c1 ^ k0;
    c1 = uint32_t(p1);
    c2 = uint32_t(p0 >> 32) ^ c3 ^ k1;
    c3 = uint32_t(p0);
    k0 += 0x9E3779B9u;  // the Weyl sequence of the golden ratio
    k1 += 0xBB67AE85u;  // and of sqrt(3) - 1
  }
  return {{c0, c1, c2, c3}};
}

// A word as a number in [0, 1): its upper 24 bits, which is all that a float holds.
FOVEA_HOST_DEVICE inline float uniform_from_word(uint32_t word) {
  return float(word >> 8) * (1.0f / 16777216.0f);
}

}  // namespace fovea
