#include <fovea/train/optim/schedule.h>

#include "check.h"

#include <40_warmup_cosine.h>

using namespace fovea::learn;

STEP("warm-up begins at a tenth of the peak and ends at the peak") {
  expect_close(warmup_cosine(0, 1, 10, 100), 0.1, "step 0 of 10 warm-up steps");
  expect_close(warmup_cosine(5, 1, 10, 100), 0.55, "step 5 of 10 warm-up steps");
  expect_close(warmup_cosine(10, 1, 10, 100), 1, "the first step after the warm-up");
}

STEP("half-way through the rest the rate is half the peak, at the end 0") {
  expect_close(warmup_cosine(55, 2, 10, 100), 1, "step 55 of 100, peak 2");
  expect_close(warmup_cosine(100, 2, 10, 100), 0, "step 100 of 100");
  expect_close(warmup_cosine(130, 2, 10, 100), 0, "a step after the end");
}

STEP("without warm-up it begins at the peak") {
  expect_close(warmup_cosine(0, 3, 0, 7), 3, "step 0, warmup 0");
}

STEP("each step equals Fovea's schedule") {
  const fovea::WarmupCosine schedule{0.02, 13, 97};
  for (int64_t step = 0; step < 120; ++step)
    expect_close(warmup_cosine(step, 0.02, 13, 97), schedule(step), fmt::format("step {}", step), 1e-12);
}
