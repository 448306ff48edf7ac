#include "check.h"

#include <08_central_difference.h>

#include <algorithm>

using namespace fovea::learn;

namespace {

using Point = std::vector<double>;

// The derivative at x of a function of one number, and where the function was evaluated.
struct Probe {
  double derivative = 0, least = 1e300, most = -1e300;
  Probe(double x, const std::function<double(double)>& f) {
    const auto recorded = [&](const Point& at) {
      expect(at.size() == 1, "f was called with {} numbers, and has 1", at.size());
      least = std::min(least, at[0]);
      most = std::max(most, at[0]);
      return f(at[0]);
    };
    const Point gradient = central_difference(recorded, {x});
    expect(gradient.size() == 1, "the gradient of a function of one number has {} numbers", gradient.size());
    expect(least <= most, "f was never evaluated");
    derivative = gradient[0];
  }
};

}  // namespace

STEP("the derivative of x^2 at 3 is 6") {
  expect_close(Probe(3, [](double x) { return x * x; }).derivative, 6, "d(x^2)/dx at 3", 1e-6);
}

STEP("f is evaluated at both sides of x, as far away on either") {
  const Probe probe(1, [](double x) { return x * x; });
  const double above = probe.most - 1, below = 1 - probe.least;
  expect(above > 0 && below > 0,
         "f was evaluated from x - {:.3g} to x + {:.3g}: a difference to one side has an error of "
         "h f''/2, and that of both sides only h^2 f'''/6",
         below, above);
  expect_close(above / below, 1, "the step above x divided by the step below x", 1e-6);
}

STEP("the step at x = 1 makes the sum of both errors small") {
  const Probe probe(1, [](double x) { return std::exp(x); });
  const double h = (probe.most - probe.least) / 2, error = std::abs(probe.derivative - std::exp(1.0));
  note(fmt::format("step {:.2g}: the error of d(e^x)/dx at 1 is {:.2g}", h, error));
  expect(h < 1e-4, "the step is {:.2g}: it can be smaller; h^2 f'''/6 is {:.2g} for e^x at 1", h,
         h * h * std::exp(1.0) / 6);
  expect(h > 1e-7, "the step is {:.2g}, too small: rounding, eps f / h, is {:.2g} for e^x at 1", h,
         2.2e-16 * std::exp(1.0) / h);
  expect(error < 1e-8, "d(e^x)/dx at 1: expected 2.718281828, got {:.10g}", probe.derivative);
}

STEP("the step grows with |x|, and is not 0 at 0") {
  const Probe large(-1e8, [](double x) { return x * x; });
  const double step = (large.most - large.least) / 2;
  expect(step > 1,
         "at x = -1e8 the step is {:.2g}: x + h is rounded to a multiple of 1.5e-8, and x^2 to a multiple "
         "of 2. The step must be in proportion to |x|",
         step);
  expect(std::abs(large.derivative + 2e8) < 2e8 * 1e-8,
         "d(x^2)/dx at -1e8: expected -2e+08, got {:.10g}, with a step of {:.2g}", large.derivative, step);
  const Probe zero(0, [](double x) { return std::sin(x); });
  expect(zero.most > zero.least, "at x = 0 the step is 0: take max(1, |x|) as the size of x");
  expect_close(zero.derivative, 1, "d(sin x)/dx at 0", 1e-9);
  expect_close(Probe(1e-3, [](double x) { return 1 / (1 + x); }).derivative, -1 / (1.001 * 1.001),
               "d(1 / (1 + x))/dx at 0.001", 1e-8);
}

STEP("each element by itself: the others are as they were") {
  const Point x = {1, -2, 3, 0.5};
  bool one_at_a_time = true;
  const auto f = [&](const Point& at) {
    int changed = 0;
    for (size_t i = 0; i < at.size(); ++i) changed += at[i] != x[i];
    one_at_a_time &= changed <= 1;
    return at[0] * at[1] * at[2] + at[3] * at[3] * at[3];
  };
  expect_close(central_difference(f, x), Point{-6, 3, -2, 0.75},
               "the gradient of x0 x1 x2 + x3^3 at {1, -2, 3, 0.5}", 1e-8);
  expect(one_at_a_time,
         "f was evaluated where two elements differ from x: set x[i] back to what it was before you go on "
         "(x[i] + h - h may be another number)");
  expect_close(central_difference([](const Point&) { return 1.0; }, {}), Point{},
               "the gradient of no numbers");
}
