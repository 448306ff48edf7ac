#pragma once
#include <cstdint>

#include "cuda/platform.h"

namespace fovea {

// Whether 0 <= position < size, in one comparison.
HD inline bool inside(int position, int size) { return unsigned(position) < unsigned(size); }

// Divides by a number that the host knows, in three instructions instead of about 16: n / d = n m / 2^s, with
// m = 2^s / d rounded up and s so large that the rounding changes no quotient (Granlund and Montgomery,
// "Division by Invariant Integers using Multiplication", PLDI 1994, theorem 4.2).
struct Divisor {
  unsigned number = 1, multiplier = 1u << 31, shift = 31;

  Divisor() = default;
  explicit Divisor(int d) : number(unsigned(d)) {  // d: at least 1
    int bits = 0;
    while (uint64_t(1) << bits < number) ++bits;
    shift = unsigned(31 + bits);
    multiplier = unsigned(((uint64_t(1) << shift) + number - 1) / number);
  }
  // n / d, for n below 2^31.
  HD unsigned quotient(unsigned n) const { return unsigned(uint64_t(n) * multiplier >> shift); }
  HD unsigned remainder(unsigned n) const { return n - quotient(n) * number; }
};

// The pixel and channel of element i of a tensor (N, height, width, channels).
struct PixelPlace {
  int64_t image;
  int row, column, channel;
  HD PixelPlace(int64_t i, int height, int width, int channels)
      : image(i / channels / width / height),
        row(int(i / channels / width % height)),
        column(int(i / channels % width)),
        channel(int(i % channels)) {}
};

}  // namespace fovea
