#include "check.h"

#include <41_ema_weights.h>

using namespace fovea::learn;

STEP("the first steps follow the weights quickly") {
  std::vector<double> average{10};
  update_average(average, {0}, 0, 0.9998);  // d = 1/10
  expect_close(average, std::vector<double>{1}, "the average of 10 after step 0 with weight 0");
  update_average(average, {0}, 1, 0.9998);  // d = 2/11
  expect_close(average, std::vector<double>{2.0 / 11}, "the average after step 1 with weight 0");
}

STEP("later the decay is the limit") {
  std::vector<double> average{1, -1};
  update_average(average, {3, -3}, 100000, 0.75);
  expect_close(average, std::vector<double>{1.5, -1.5}, "averages at step 100000 with decay 0.75");
}

STEP("it smooths weights that jump about their mean") {
  std::vector<double> average{0};
  for (int64_t step = 0; step < 500; ++step) update_average(average, {step % 2 ? 1.0 : -1.0}, step, 0.99);
  expect_close(average[0], 0, "the average of weights that alternate between 1 and -1", 0.02);
}
