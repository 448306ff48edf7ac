#include "matrix_product.h"

#include <17_register_tile.cu>

using namespace fovea;
using namespace fovea::learn;

namespace {
const ProductLaunch launch{product, 16, 64};
}

STEP("one block: a 64 x 64 matrix times the identity") { expect_identity(launch, 64, 64); }

STEP("a small product: most threads have nothing inside of c") { expect_small_product(launch); }

STEP("all sizes: 1, primes, and blocks that stick out") {
  expect_product(launch, 1, 1, 1);
  expect_product(launch, 17, 31, 7);
  expect_product(launch, 67, 70, 11);
}

STEP("score: neighbouring threads write neighbours of c, each number once") {
  const ProductScore score = score_of_product(launch, 64, 64, 16);
  expect_sectors("c", "written", score.c, 4);
  expect_times("c", "written", score.c, 1);
}

STEP("score: eight reads from shared memory for sixteen multiply-adds, without bank conflicts") {
  const ProductScore score = score_of_product(launch, 64, 64, 16);
  const cuda::AccessScore& reads = score.kernel.shared_reads;
  const double each = double(reads.bytes) / 4 / (64 * 64 * 16);
  note(fmt::format("{:.2f} reads from shared memory for each multiply-add; exercise 16 has 2", each));
  expect(each <= 0.5,
         "{:.2f} reads from shared memory for each multiply-add; 0.5 are enough: read 4 numbers of a and 4 "
         "of b to "
         "variables first, and use each of them four times",
         each);
  expect(reads.conflicts == 0,
         "reads from shared memory take {} rounds more than they need: the thread's columns should be across "
         "+ 16 j, not "
         "4 across + j, which lies in the same banks for every eighth thread",
         reads.conflicts);
}
