#include "check.h"
#include "kernels.h"

#include <13_transpose_tile.cu>

using namespace fovea;
using namespace fovea::learn;

namespace {

cuda::LaunchConfig config(int rows, int columns) {
  return {dim3(unsigned(columns + 31) / 32, unsigned(rows + 31) / 32), dim3(32, 32)};
}

std::vector<float> transposed(const std::vector<float>& x, int rows, int columns) {
  const Buffer<float> in(x), out(rows * columns);
  cuda::launch(transpose, config(rows, columns), in.data(), out.data(), rows, columns);
  return out.values();
}

void expect_transposed(int rows, int columns) {
  std::vector<float> x(size_t(rows * columns));
  std::vector<double> expected(x.size());
  for (int r = 0; r < rows; ++r)
    for (int c = 0; c < columns; ++c) {
      x[r * columns + c] = float(100 * r + c);  // shows its row and column
      expected[c * rows + r] = 100 * r + c;
    }
  expect_close(in_every_order([&] { return transposed(x, rows, columns); }), expected,
               fmt::format("the transpose of a {} x {} matrix of x[r][c] = 100 r + c", rows, columns), 0,
               {columns, rows});
}

struct Score {
  cuda::KernelScore kernel;
  cuda::AccessScore x, y;  // x's reads, y's writes
};
// Of a 64 x 96 matrix: 2 x 3 whole tiles.
Score score() {
  const Buffer<float> x(sample_float(64 * 96)), y(64 * 96);
  const cuda::KernelScore kernel =
      score_of([&] { cuda::launch(transpose, config(64, 96), x.data(), y.data(), 64, 96); });
  return {kernel, kernel.reads(x.data()), kernel.writes(y.data())};
}

}  // namespace

STEP("one tile") { expect_transposed(32, 32); }

STEP("2 x 3 tiles: the tiles also change places") { expect_transposed(64, 96); }

STEP("tiles that stick out: 1 x 1, 5 x 3, 33 x 31 and 40 x 70") {
  expect_transposed(1, 1);
  expect_transposed(5, 3);
  expect_transposed(33, 31);
  expect_transposed(40, 70);
}

STEP("score: a warp reads and writes 128 bytes in a row") {
  const Score s = score();
  note_score("x", "read", s.x);
  note_score("y", "written", s.y);
  expect_times("x", "read", s.x, 1);
  expect_sectors("x", "read", s.x, 4);
  expect_sectors("y", "written", s.y, 4);
}

STEP("score: no bank conflicts in shared memory") {
  const cuda::KernelScore kernel = score().kernel;
  const cuda::AccessScore &reads = kernel.shared_reads, &writes = kernel.shared_writes;
  expect(reads.requests > 0, "shared memory is never read");
  expect(reads.conflicts + writes.conflicts == 0,
         "{} requests to shared memory take {} rounds, and {} would do without bank conflicts. Number i of "
         "the array lies in "
         "bank i % 32: make the tile's rows one number longer",
         reads.requests + writes.requests, reads.wavefronts + writes.wavefronts,
         reads.wavefronts + writes.wavefronts - reads.conflicts - writes.conflicts);
}
