#include "check.h"

#include <35_box_codes.h>

using namespace fovea::learn;

namespace {

void expect_box(const Box& got, const Box& expected, std::string_view what) {
  expect_close(std::vector{got.y0, got.x0, got.y1, got.x1},
               std::vector{expected.y0, expected.x0, expected.y1, expected.x1}, what, 1e-9);
}
void expect_code(const BoxCode& got, const BoxCode& expected, std::string_view what) {
  expect_close(std::vector{got.ty, got.tx, got.th, got.tw},
               std::vector{expected.ty, expected.tx, expected.th, expected.tw}, what, 1e-9);
}
constexpr Box anchor{10, 20, 30, 60};  // height 20, width 40, centre (20, 40)

}  // namespace

STEP("the anchor itself has the code 0") {
  expect_code(encode(anchor, anchor), {0, 0, 0, 0}, "encode(anchor, anchor)");
  expect_box(decode(anchor, {0, 0, 0, 0}), anchor, "decode(anchor, 0)");
}

STEP("a shift is measured in sizes of the anchor") {
  expect_code(encode(anchor, {20, 20, 40, 60}), {0.5, 0, 0, 0}, "half an anchor's height further down");
  expect_code(encode(anchor, {10, 30, 30, 70}), {0, 0.25, 0, 0}, "a quarter of its width to the right");
  expect_box(decode(anchor, {0.5, 0.25, 0, 0}), {20, 30, 40, 70}, "decode(anchor, {0.5, 0.25, 0, 0})");
}

STEP("a size is a logarithm, about the same centre") {
  expect_code(encode(anchor, {0, 30, 40, 50}), {0, 0, std::log(2), -std::log(2)},
              "twice as tall, half as wide");
  expect_box(decode(anchor, {0, 0, std::log(2), -std::log(2)}), {0, 30, 40, 50},
             "decode(anchor, {0, 0, log 2, -log 2})");
}

STEP("decode undoes encode") {
  for (uint64_t seed = 1; seed < 200; ++seed) {
    const std::vector<double> r = sample(8, seed);
    const auto box = [&](size_t i) {
      return Box{r[i] * 100, r[i + 1] * 100, r[i] * 100 + 50 * std::exp(3 * r[i + 2]),
                 r[i + 1] * 100 + 50 * std::exp(3 * r[i + 3])};
    };
    expect_box(decode(box(0), encode(box(0), box(4))), box(4),
               fmt::format("decode(a, encode(a, b)) of the random pair {}", seed));
  }
}
