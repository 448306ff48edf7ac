// The divisor whose quotients take no division.
#include <catch2/catch.hpp>
#include <initializer_list>

#include "cuda/device/pixel.h"

using namespace fovea;

TEST_CASE("a divisor's quotients and remainders are exact for every dividend below 2^31") {
  constexpr unsigned most = 0x7FFFFFFF;
  const auto check = [](int d, unsigned n) {
    const Divisor divisor(d);
    if (divisor.quotient(n) == n / unsigned(d) && divisor.remainder(n) == n % unsigned(d)) return;
    FAIL(n << " / " << d << " = " << divisor.quotient(n) << ", remainder " << divisor.remainder(n));
  };
  for (int d = 1; d < 5000; ++d)
    for (const unsigned multiple : {1u, 2u, 3u, 1000u, most / unsigned(d)})
      if (uint64_t(multiple) * unsigned(d) <= most)
        for (int offset = -1; offset <= 1; ++offset) {
          const int64_t n = int64_t(multiple) * d + offset;
          if (n <= most) check(d, unsigned(n));
        }
  for (const int d : {65535, 65536, 65537, 1 << 24, (1 << 30) - 1, 1 << 30, (1 << 30) + 1, 0x7FFFFFFF})
    for (const unsigned n : {0u, 1u, unsigned(d) - 1, unsigned(d), most - 1, most}) check(d, n);
  CHECK(Divisor().quotient(most) == most);
}
