#include "check.h"

#include <45_ordered_all_reduce.h>

using namespace fovea::learn;

STEP("one rank has its own sum") {
  expect_close(all_reduce({{0, {1, 2}}}), std::vector<double>{1, 2}, "the sum of one rank");
}

STEP("two and three ranks") {
  expect_close(all_reduce({{0, {1, 2}}, {1, {10, 20}}}), std::vector<double>{11, 22}, "the sum of two ranks");
  expect_close(all_reduce({{0, {1}}, {1, {10}}, {2, {100}}}), std::vector<double>{111},
               "the sum of three ranks");
}

STEP("the order of arrival changes no bit") {
  const RankPart a{0, {1e8f}}, b{1, {1.0f}}, c{2, {-1e8f}};
  const float expected = (1e8f + 1.0f) + -1e8f;
  for (const std::vector<RankPart>& parts :
       {std::vector{a, b, c}, {a, c, b}, {b, a, c}, {b, c, a}, {c, a, b}, {c, b, a}}) {
    const float got = all_reduce(parts)[0];
    expect(got == expected, "ranks arrived as {}, {}, {}: expected {} (ranks 0, 1, 2 in this order), got {}",
           parts[0].rank, parts[1].rank, parts[2].rank, expected, got);
  }
}

STEP("seven ranks with 1000 numbers each") {
  std::vector<RankPart> parts;
  for (int rank : {3, 0, 6, 1, 5, 2, 4}) parts.push_back({rank, sample_float(1000, uint64_t(rank + 1))});
  std::vector<float> expected(1000);
  for (int rank = 0; rank < 7; ++rank) {
    const std::vector<float> values = sample_float(1000, uint64_t(rank + 1));
    for (size_t i = 0; i < 1000; ++i) expected[i] += values[i];
  }
  expect(all_reduce(parts) == expected, "the sums are not, bit for bit, those of ranks 0 to 6 in order");
}
