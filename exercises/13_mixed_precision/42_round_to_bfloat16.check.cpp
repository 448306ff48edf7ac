#include <fovea/cuda/device/bfloat16.h>

#include "check.h"

#include <42_round_to_bfloat16.h>

using namespace fovea::learn;

#include <cstring>
#include <limits>

namespace {

float from_bits(uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

void expect_bits(uint32_t bits, unsigned expected) {
  const unsigned got = round_to_bfloat16(from_bits(bits));
  expect(got == expected, "the float with bits {:#010x} ({}): expected {:#06x}, got {:#06x}", bits,
         from_bits(bits), expected, got);
}

}  // namespace

STEP("what fits stays") {
  expect_bits(0x3F800000, 0x3F80);  // 1
  expect_bits(0xC0490000, 0xC049);  // -3.140625
  expect_bits(0x00000000, 0x0000);
  expect_bits(0x80000000, 0x8000);  // -0
}

STEP("to the nearest, not towards zero") {
  expect_bits(0x3F808001, 0x3F81);
  expect_bits(0x3F807FFF, 0x3F80);
  expect_bits(0xBF80C000, 0xBF81);
}

STEP("a tie goes to the even neighbour") {
  expect_bits(0x3F808000, 0x3F80);
  expect_bits(0x3F818000, 0x3F82);
}

STEP("the carry reaches the exponent, and infinity") {
  expect_bits(0x3FFF8000, 0x4000);  // the tie below 2
  expect_bits(0x7F7FFFFF, 0x7F80);  // the largest float
}

STEP("infinities stay, and a NaN stays a NaN") {
  expect_bits(0x7F800000, 0x7F80);
  expect_bits(0xFF800000, 0xFF80);
  expect_bits(0x7FC00000, 0x7FC0);
  expect_bits(0x7F800001, 0x7FC0);  // a NaN whose fraction lies in the lower half
  expect_bits(0xFFFFFFFF, 0xFFC0);
}

STEP("the same as Fovea's bfloat16 for 100000 floats of all sizes") {
  uint32_t bits = 12345;
  for (int i = 0; i < 100000; ++i) {
    bits = bits * 1664525 + 1013904223;
    if (std::isnan(from_bits(bits))) continue;
    const fovea::bfloat16 rounded(from_bits(bits));
    uint16_t expected;
    std::memcpy(&expected, &rounded, sizeof expected);
    expect_bits(bits, expected);
  }
}
