// Exercise 42: round a float to bfloat16
//
// Goal:      The 16 bits of the bfloat16 number that is nearest to a float, ties to even.
// Builds on: nothing
// Minutes:   25
// Source:    IEEE 754, section 4.3.1 (roundTiesToEven); cuda/device/bfloat16.h
#pragma once
#include <cmath>
#include <cstdint>
#include <cstring>

// A bfloat16 is the upper half of a float: 1 sign bit, 8 exponent bits, 7 fraction bits. So its bits are
// those of the float shifted right by 16, plus 1 where the lower half is more than a half of the last place
// (0x8000), or exactly a half and the last bit that stays is odd. The carry may run into the exponent, which
// is right: the next number is a power of two, or infinity. A NaN must stay a NaN: return one with its sign
// bit and 0x7FC0.
inline uint16_t round_to_bfloat16(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  // ---- your code: 4 to 6 lines ----
  return uint16_t(bits >> 16);  // cuts off, and so rounds towards zero
  // ---- end ----
}
