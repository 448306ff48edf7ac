#include "check.h"
#include "kernels.h"

#include <11_row_sums.cu>

using namespace fovea;
using namespace fovea::learn;

namespace {

unsigned blocks_for(int rows) { return unsigned(rows + 3) / 4; }

std::vector<float> sums_of(const std::vector<float>& x, int rows, int columns) {
  const Buffer<float> in(x), sums(rows);
  cuda::launch(row_sums, {blocks_for(rows), 128}, in.data(), sums.data(), rows, columns);
  return sums.values();
}

void expect_sums(int rows, int columns) {
  const std::vector<float> x = sample_float(rows * columns);
  std::vector<double> expected(size_t(rows), 0.0);
  for (int i = 0; i < rows * columns; ++i) expected[i / columns] += double(x[i]);
  expect_close(in_every_order([&] { return sums_of(x, rows, columns); }), expected,
               fmt::format("the row sums of a {} x {} matrix", rows, columns));
}

}  // namespace

STEP("one row of 32 ones") {
  const std::vector<float> got = sums_of(std::vector<float>(32, 1), 1, 32);
  expect(got[0] != 1,
         "the sum of 32 ones: expected 32, got 1: that is what one lane has; the lanes must add up");
  expect_close(got, std::vector<double>{32}, "the sum of 32 ones");
}

STEP("32 different numbers: each lane counts once") {
  // Lane l has 2^l, and the sum has one bit for each lane.
  std::vector<float> x(24);
  for (int lane = 0; lane < 24; ++lane) x[lane] = float(1 << lane);
  const unsigned got = unsigned(sums_of(x, 1, 24)[0]), expected = (1u << 24) - 1;
  for (int lane = 0; got < expected && lane < 24; ++lane)
    expect(got & 1u << lane, "2^0 + 2^1 + ... + 2^23: what lane {} has is missing", lane);
  expect(got == expected, "2^0 + 2^1 + ... + 2^23: expected {}, got {}: some lane counts more than once",
         expected, got);
}

STEP("several rows: a warp each, four in a block") {
  std::vector<float> x;
  for (int row = 0; row < 6; ++row)
    for (int column = 0; column < 32; ++column) x.push_back(float(row));
  expect_close(sums_of(x, 6, 32), std::vector<double>{0, 32, 64, 96, 128, 160},
               "the sums of 6 rows, of 32 times 0, 32 times 1, ...");
}

STEP("rows of any length: 1, 5, 33 and 100 numbers") {
  for (int columns : {1, 5, 33, 100}) expect_sums(7, columns);
  expect_sums(1, 257);
}

STEP("score: each number is read once, 128 bytes a request, and there is no barrier") {
  const Buffer<float> x(sample_float(4 * 128)), sums(4);
  const cuda::KernelScore score = score_of([&] {
    cuda::launch(row_sums, {1, 128}, x.data(), sums.data(), 4, 128);
  });
  expect_times("x", "read", score.reads(x.data()), 1);
  expect_sectors("x", "read", score.reads(x.data()), 4);
  expect_times("sums", "written", score.writes(sums.data()), 1);
  expect(score.barriers == 0, "{} barriers: the lanes of a warp need none, a shuffle waits for all of them",
         score.barriers);
  note_score("x", "read", score.reads(x.data()));
}
