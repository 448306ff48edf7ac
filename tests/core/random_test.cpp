#include "core/random.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <set>

#include "core/tensor.h"
#include "cuda/device/normal.h"

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

TEST_CASE("a random key is a key and a pointer to the step") {
  Random a(7, 3), b(7, 3);
  CHECK(a.next_random_key().key == b.next_key());
  CHECK(a.next_random_key().step == nullptr);
  const int64_t step = 5;
  a.set_step(&step);
  b.next_key();
  const RandomKey key = a.next_random_key();
  CHECK(key.key == b.next_key());
  CHECK(key.step == &step);
  CHECK(key.words(8).word[1] == philox4x32(key.key, 8, 5).word[1]);
  CHECK(RandomKey(key.key).words(8).word[1] == philox4x32(key.key, 8).word[1]);
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

TEST_CASE("a normal number is Box and Muller's function of its words, and the same bits in every build") {
  Random random(2);
  std::vector<PhiloxBlock> blocks = {{{0, 0, UINT32_MAX, UINT32_MAX}},
                                     {{0x80000000, 0x20000000, 255, 0x60000000}}};
  while (blocks.size() < 5000)
    blocks.push_back({{random.bits(), random.bits(), random.bits(), random.bits()}});
  double worst = 0;
  for (const PhiloxBlock& words : blocks)
    for (int k = 0; k < 4; ++k) {
      const double u = double((words.word[k / 2 * 2] >> 8) + 1) / 16777216;
      const double angle = 2 * M_PI * double(words.word[k / 2 * 2 + 1]) / 4294967296;
      const double expected = std::sqrt(-2 * std::log(u)) * (k % 2 ? std::sin(angle) : std::cos(angle));
      worst = std::max(worst, std::abs(normal_from_words(words, k) - expected));
    }
  CHECK(worst < 1e-6);
  const Tensor x = randn({6}, 42, DType::float32, Device::cpu);
  CHECK(x.values() == std::vector<double>{-0x1.f0bcb4p-1, 0x1.8d59ccp-3, -0x1.3c51a4p+0, 0x1.ec8674p+0,
                                          -0x1.2bc036p-4, 0x1.1cf3f8p-3});
}

TEST_CASE("normal numbers have the moments of their distribution, and do not depend on one another") {
  constexpr int64_t n = 1000000;
  const Tensor x = randn({n}, 7, DType::float32, Device::cpu);
  double sum[5] = {}, product[5] = {};  // of powers; of each number and the one 1, 2, ... places later
  int64_t within_one = 0;
  for (int64_t i = 0; i < n; ++i) {
    const double value = x.data<float>()[i];
    for (int power = 1; power < 5; ++power) sum[power] += std::pow(value, power);
    for (int64_t lag = 1; lag < 5; ++lag) product[lag] += value * double(x.data<float>()[(i + lag) % n]);
    within_one += std::abs(value) < 1;
  }
  CHECK(sum[1] / n == Approx(0).margin(0.004));  // four standard errors each
  CHECK(sum[2] / n == Approx(1).margin(0.006));
  CHECK(sum[3] / n == Approx(0).margin(0.016));
  CHECK(sum[4] / n == Approx(3).margin(0.04));
  CHECK(double(within_one) / n == Approx(0.682689).margin(0.002));
  for (int lag = 1; lag < 5; ++lag) CHECK(product[lag] / n == Approx(0).margin(0.004));
}
