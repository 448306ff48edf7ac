#include "train/optim/schedule.h"

#include <catch2/catch.hpp>

using namespace fovea;

TEST_CASE("warm-up from a tenth, then half a cosine to zero") {
  const WarmupCosine schedule{0.08, 10, 110};
  CHECK(schedule(0) == Approx(0.008));
  CHECK(schedule(5) == Approx(0.044));
  CHECK(schedule(10) == Approx(0.08));
  CHECK(schedule(35) == Approx(0.08 * 0.5 * (1 + 0.70710678)));
  CHECK(schedule(60) == Approx(0.04));
  CHECK(schedule(110) == Approx(0).margin(1e-12));
  CHECK(schedule(109) > 0);
}

TEST_CASE("a schedule of one step, and one that is all warm-up") {
  CHECK(WarmupCosine{1, 0, 1}(0) == Approx(1));
  CHECK(WarmupCosine{1, 4, 4}(3) == Approx(0.1 + 0.9 * 0.75));
}
