#include <fovea/cuda/device/bfloat16.h>

#include "check.h"

#include <43_float32_master_weights.h>

using namespace fovea::learn;

namespace {

double to_bfloat16(double value) { return double(float(fovea::bfloat16(float(value)))); }

double trained(double start, double rate, int steps, const std::function<double(double)>& gradient) {
  return train(start, rate, steps, to_bfloat16, [&](double weight) {
    expect(weight == to_bfloat16(weight),
           "the gradient was computed with the weight {:.9g}, which is no bfloat16 number", weight);
    return gradient(weight);
  });
}

}  // namespace

STEP("large steps") {
  expect_close(trained(1, 0.5, 2, [](double) { return 1; }), 0, "1 after two steps of -0.5");
}

STEP("a thousand updates of -0.001 add up to -1") {
  expect_close(trained(2, 0.001, 1000, [](double) { return 1; }), 1,
               "2 after 1000 steps of -0.001 (at 2 the numbers of bfloat16 lie 1/128 apart: alone, no such "
               "step changes it)",
               0.01);
}

STEP("the weight that is returned is a bfloat16 number") {
  const double weight = trained(1, 0.3, 1, [](double) { return 1; });
  expect(weight == to_bfloat16(weight), "expected the rounded copy, {:.9g}, got {:.9g}", to_bfloat16(weight),
         weight);
}

STEP("the minimum of (w - 1.5)^2 is found at a small rate") {
  expect_close(trained(3, 1e-3, 3000, [](double w) { return 2 * (w - 1.5); }), 1.5, "the weight", 0.01);
}
