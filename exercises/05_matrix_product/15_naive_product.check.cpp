#include "matrix_product.h"

#include <15_naive_product.cu>

using namespace fovea;
using namespace fovea::learn;

namespace {
const ProductLaunch launch{product, 16, 16};
}

STEP("a 3 x 2 matrix times a 2 x 2 matrix") { expect_small_product(launch); }

STEP("times the identity: 2 x 3 blocks, the last ones stick out") { expect_identity(launch, 20, 33); }

STEP("all sizes: 1, primes, and a sum of nothing") {
  expect_product(launch, 1, 1, 1);
  expect_product(launch, 17, 31, 7);
  expect_product(launch, 3, 40, 1);
  expect_product(launch, 2, 3, 0);
}

STEP("score: neighbouring threads have neighbouring columns") {
  const ProductScore score = score_of_product(launch, 32, 32, 32);
  note_score("a", "read", score.a);
  note_score("b", "read", score.b);
  // A warp is two rows of 16: two pieces of 64 bytes.
  expect_sectors("b", "read", score.b, 2);
  expect_sectors("c", "written", score.c, 4);
  expect_times("c", "written", score.c, 1);
  note(
      "each number of a and b is read 32 times, once for each number of c that it is a part of: see exercise "
      "16");
}
