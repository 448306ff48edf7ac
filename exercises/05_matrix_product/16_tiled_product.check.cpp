#include "matrix_product.h"

#include <16_tiled_product.cu>

using namespace fovea;
using namespace fovea::learn;

namespace {
const ProductLaunch launch{product, 16, 16};
}

STEP("whole tiles: a 16 x 16 matrix times the identity") { expect_identity(launch, 16, 16); }

STEP("two steps along k, and 2 x 2 blocks") { expect_identity(launch, 32, 32); }

STEP("k is no multiple of 16: what is outside of a and b counts as 0") {
  expect_product(launch, 16, 16, 5);
  expect_product(launch, 16, 16, 17);
}

STEP("c is no multiple of 16: threads outside of c read for the others") {
  expect_small_product(launch);
  expect_product(launch, 1, 1, 1);
  expect_product(launch, 19, 33, 7);
  expect_product(launch, 1, 40, 37);
}

STEP("score: a and b are read once for each row, or column, of blocks") {
  const ProductScore score = score_of_product(launch, 64, 64, 64);
  note_score("a", "read", score.a);
  note_score("b", "read", score.b);
  note("exercise 15 reads each of them 64 times over for this product");
  expect_times("a", "read", score.a, 4);
  expect_times("b", "read", score.b, 4);
  expect_sectors("a", "read", score.a, 4);
  expect_sectors("b", "read", score.b, 4);
}

STEP("score: no bank conflicts in shared memory") {
  const ProductScore score = score_of_product(launch, 32, 32, 32);
  const cuda::AccessScore &reads = score.kernel.shared_reads, &writes = score.kernel.shared_writes;
  note(fmt::format("{:.2f} reads from shared memory for each multiply-add: see exercise 17",
                   double(reads.bytes) / 4 / (32 * 32 * 32)));
  expect(reads.conflicts + writes.conflicts == 0,
         "bank conflicts make requests to shared memory take {} rounds more than they need: the threads of a "
         "warp, which differ in "
         "threadIdx.x, should access neighbours in a row of the tile, or all the same number",
         reads.conflicts + writes.conflicts);
}
