#include "core/random.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <set>

#include "cuda/device/philox.h"

using namespace fovea;

TEST_CASE("Philox4x32-10 gives the numbers of its authors' known-answer test") {
  const PhiloxBlock zero = philox4x32(0, 0, 0);
  CHECK(zero.word[0] == 0x6627e8d5u);
  CHECK(zero.word[1] == 0xe169c58du);
  CHECK(zero.word[2] == 0xbc57ac4cu);
  CHECK(zero.word[3] == 0x9b00dbd8u);
  const PhiloxBlock ones = philox4x32(UINT64_MAX, UINT64_MAX, UINT64_MAX);
  CHECK(ones.word[0] == 0x408f276du);
}

TEST_CASE("a stream continues from its position") {
  Random a(7, 3);
  for (int i = 0; i < 13; ++i) a.bits();
  Random b(7, 3);
  b.set_position(a.position());
  for (int i = 0; i < 9; ++i) CHECK(a.bits() == b.bits());
  CHECK(Random(7, 3).bits() != Random(7, 4).bits());
}

TEST_CASE("a noise key is a key and where the step is found") {
  Random a(7, 3), b(7, 3);
  CHECK(a.next_noise_key().key == b.next_key());
  CHECK(a.next_noise_key().step == nullptr);
  const int64_t step = 5;
  a.set_step(&step);
  b.next_key();
  const NoiseKey noise = a.next_noise_key();
  CHECK(noise.key == b.next_key());
  CHECK(noise.step == &step);
  CHECK(noise.words(8).word[1] == philox4x32(noise.key, 8, 5).word[1]);
  CHECK(NoiseKey(noise.key).words(8).word[1] == philox4x32(noise.key, 8).word[1]);
}

TEST_CASE("moments of uniform and normal numbers") {
  Random random(1);
  double u = 0, n = 0, n2 = 0;
  constexpr int count = 100000;
  for (int i = 0; i < count; ++i) {
    u += random.uniform();
    const double x = random.normal();
    n += x;
    n2 += x * x;
  }
  CHECK(u / count == Approx(0.5).margin(0.005));
  CHECK(n / count == Approx(0).margin(0.02));
  CHECK(n2 / count == Approx(1).margin(0.02));
}

TEST_CASE("a permutation holds each index once") {
  Random random(5);
  const auto order = random.permutation(1000);
  CHECK(std::set<int64_t>(order.begin(), order.end()).size() == 1000);
  CHECK(order != Random(6).permutation(1000));
  CHECK_THROWS(random.below(0));
}
