#pragma once
#include <cmath>
#include <cstdint>
#include <cstring>

#include "cuda/device/philox.h"
#include "cuda/platform.h"

// Normal (Box and Muller, 1958) and uniform numbers from random words, with the same bits on every device and
// in every build: each product to which something is added is an explicit fused multiply-add, which leaves
// the compiler no choice, and everything else is exact or rounded as in IEEE 754.
namespace fovea {

// -2 ln u for u = (the word's upper 24 bits + 1) / 2^24, which lies in (0, 1]: 0 to 33.3.
HD inline float minus_twice_log(uint32_t word) {
  const float u = float((word >> 8) + 1) * (1.0f / 16777216.0f);
  uint32_t bits;
  memcpy(&bits, &u, sizeof bits);
  constexpr uint32_t root_of_half = 0x3F3504F3;
  const int32_t exponent = int32_t(bits - root_of_half) >> 23;
  bits -= uint32_t(exponent) << 23;
  float m;  // u = 2^exponent m, and sqrt(1/2) <= m < sqrt(2)
  memcpy(&m, &bits, sizeof m);
  // ln m = 2 atanh(s) = 2 (s + s^3/3 + s^5/5 + ...) with |s| <= 0.172; the remainder is below 3e-9.
  const float s = (m - 1.0f) / (m + 1.0f), q = s * s;
  float p = 1.0f / 9;
  p = std::fma(p, q, 1.0f / 7);
  p = std::fma(p, q, 1.0f / 5);
  p = std::fma(p, q, 1.0f / 3);
  p = std::fma(p, q, 1.0f);
  constexpr float ln2 = 0.693147181f;
  return -2.0f * std::fma(float(exponent), ln2, 2.0f * s * p);
}

// cos(2 pi word / 2^32): the word is an angle in fractions of a turn.
HD inline float cosine_of_turn(uint32_t word) {
  const uint32_t quarter = (word + 0x20000000u) >> 30;  // the nearest one: the remainder is within pi / 4
  constexpr float radians = 1.46291808e-9f;             // 2 pi / 2^32
  const float x = float(int32_t(word - (quarter << 30))) * radians, q = x * x;
  float cosine = 1.0f / 40320, sine = 1.0f / 362880;
  cosine = std::fma(cosine, q, -1.0f / 720);
  cosine = std::fma(cosine, q, 1.0f / 24);
  cosine = std::fma(cosine, q, -1.0f / 2);
  cosine = std::fma(cosine, q, 1.0f);
  sine = std::fma(sine, q, -1.0f / 5040);
  sine = std::fma(sine, q, 1.0f / 120);
  sine = std::fma(sine, q, -1.0f / 6);
  sine = std::fma(sine, q, 1.0f) * x;
  const float value = quarter & 1 ? sine : cosine;
  return quarter == 1 || quarter == 2 ? -value : value;
}

// Number k (0 .. 3) of the four that four words make: mean 0, variance 1, within 5.8.
HD inline float normal_from_words(const PhiloxBlock& words, int k) {
  const uint32_t radius = k < 2 ? words.word[0] : words.word[2];
  const uint32_t angle = k < 2 ? words.word[1] : words.word[3];
  constexpr uint32_t quarter_turn = 0x40000000;  // a sine is a cosine a quarter turn earlier
  return std::sqrt(minus_twice_log(radius)) * cosine_of_turn(k % 2 ? angle - quarter_turn : angle);
}

// A number in [low, high), or high if rounding reaches it.
HD inline float uniform_between(uint32_t word, float low, float high) {
  return std::fma(high - low, uniform_from_word(word), low);
}

}  // namespace fovea
