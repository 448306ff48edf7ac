#pragma once
#include <cstdint>

#include "core/processes.h"
#include "core/random.h"
#include "core/tensor.h"
#include "train/loop/config.h"

namespace fovea {

// The independent sequences of random numbers of one training (core/random.h): the upper byte says what for,
// the rest which one. Every number is so a function of the seed and the step alone, and a resumed training
// draws the ones it would have drawn.
enum class RandomStream : uint64_t { weights = 1, order, augmentation, noise };

// The stream that is numbered `index`, below 2^56, among those for this purpose.
inline uint64_t stream_of(RandomStream purpose, int64_t index = 0) {
  return (uint64_t(purpose) << 56) + uint64_t(index);
}

// The number of a step as the ops of any device read it (NoiseKey::step): 64 bits.
inline Tensor step_tensor(int64_t step) {
  return from_values({2}, {double(int32_t(step & 0xffffffff)), double(step >> 32)}, DType::int32);
}

// The random numbers of dropout and stochastic depth, the same ones on every device; `step` as step_tensor()
// makes it, on the device of the network. Each of several processes has its own.
inline Random noise_of(const TrainConfig& config, const Tensor& step) {
  Random noise(uint64_t(config.seed), stream_of(RandomStream::noise, processes() ? processes()->rank() : 0));
  noise.set_step(reinterpret_cast<const int64_t*>(step.raw()));
  return noise;
}

}  // namespace fovea
