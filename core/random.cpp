#include "core/random.h"

#include <cmath>
#include <numbers>
#include <numeric>
#include <utility>

#include "core/error.h"
#include "cuda/device/philox.h"

namespace fovea {

uint32_t Random::bits() {
  const PhiloxBlock block = philox4x32(seed_, position_ / 4, stream_);
  return block.word[position_++ % 4];
}

float Random::uniform() { return uniform_from_word(bits()); }

float Random::uniform(float low, float high) { return low + (high - low) * uniform(); }

float Random::normal() {
  const float u = 1.0f - uniform();  // (0, 1], so that the logarithm is finite
  const float angle = 2.0f * std::numbers::pi_v<float> * uniform();
  return std::sqrt(-2.0f * std::log(u)) * std::cos(angle);
}

int64_t Random::below(int64_t n) {
  require(n >= 1, "[Random::below] n is {}, must be at least 1", n);
  // Rejecting the incomplete last interval keeps every value equally likely.
  const uint64_t range = uint64_t(n), limit = UINT64_MAX - UINT64_MAX % range;
  uint64_t value;
  do {
    const uint64_t high = bits();
    value = high << 32 | bits();
  } while (value >= limit);
  return int64_t(value % range);
}

bool Random::chance(double probability) { return uniform() < probability; }

std::vector<int64_t> Random::permutation(int64_t n) {
  std::vector<int64_t> order(static_cast<size_t>(n));
  std::iota(order.begin(), order.end(), 0);
  for (int64_t i = n - 1; i > 0; --i) std::swap(order[size_t(i)], order[size_t(below(i + 1))]);
  return order;
}

uint64_t Random::next_key() {
  const uint64_t high = bits();
  return high << 32 | bits();
}

}  // namespace fovea
