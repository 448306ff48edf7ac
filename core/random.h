#pragma once
#include <cstdint>
#include <vector>

#include "cuda/device/random_key.h"

namespace fovea {

// A counter-based stream of random numbers (Philox4x32-10). Its whole state is a key and a position, so it
// can be written to a checkpoint, and two streams with different keys never overlap. The numbers are the same
// on every machine and device.
class Random {
 public:
  // `seed` selects the experiment, `stream` an independent sequence inside it (one for each image, each
  // layer, ...).
  explicit Random(uint64_t seed = 0, uint64_t stream = 0) : seed_(seed), stream_(stream) {}

  uint32_t bits();                              // 32 random bits
  float uniform();                              // [0, 1)
  float uniform(float low, float high);         // [low, high)
  float normal();                               // mean 0, variance 1 (Box-Muller)
  int64_t below(int64_t n);                     // 0 .. n-1 without bias; n >= 1
  bool chance(double probability);              // true with this probability
  std::vector<int64_t> permutation(int64_t n);  // 0 .. n-1 shuffled (Fisher-Yates)

  // A key for ops that index their own random numbers by element; advances the stream.
  uint64_t next_key();

  // The same with a pointer to the step number: one key then serves every replay of a captured graph.
  // set_step() sets that pointer, null at first, to memory of the device that the ops run on, which must
  // outlive them.
  RandomKey next_random_key() { return {next_key(), step_}; }
  void set_step(const int64_t* step) { step_ = step; }

  uint64_t seed() const { return seed_; }
  uint64_t stream() const { return stream_; }
  uint64_t position() const { return position_; }                 // words drawn so far
  void set_position(uint64_t position) { position_ = position; }  // continues where another left off

 private:
  uint64_t seed_, stream_, position_ = 0;
  const int64_t* step_ = nullptr;
};

}  // namespace fovea
