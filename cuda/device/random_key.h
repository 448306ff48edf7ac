#pragma once
#include "cuda/device/host_device.h"
#include "cuda/device/philox.h"

namespace fovea {

// An op's random numbers are a function of the element, a key, and the step number if one key serves many
// steps. The step is read where the op runs, on the tensor's device, so that a captured graph, which repeats
// its arguments, draws new numbers in each replay. Null stands for step 0.
struct RandomKey {
  uint64_t key = 0;
  const int64_t* step = nullptr;

  RandomKey() = default;
  // `step_` is on the device that the op runs on.
  FOVEA_HOST_DEVICE RandomKey(uint64_t key_, const int64_t* step_ = nullptr) : key(key_), step(step_) {}

  // Four random words, those of elements 4 index .. 4 index + 3.
  FOVEA_HOST_DEVICE PhiloxBlock words(int64_t index) const {
    return philox4x32(key, uint64_t(index), step ? uint64_t(*step) : 0);
  }
  // The word of one element. Selected, not indexed: a non-constant index would put the block into memory.
  FOVEA_HOST_DEVICE uint32_t word(int64_t element) const {
    const PhiloxBlock block = words(element / 4);
    const int k = int(element % 4);
    return k < 2 ? (k == 0 ? block.word[0] : block.word[1]) : (k == 2 ? block.word[2] : block.word[3]);
  }
};

// The factor of an element whose random word is `word`: 0 with probability p, otherwise 1 / (1 - p).
template <class T>
FOVEA_HOST_DEVICE inline T survival(uint32_t word, float p) {
  return uniform_from_word(word) < p ? T(0) : T(1) / (T(1) - T(p));
}

}  // namespace fovea
