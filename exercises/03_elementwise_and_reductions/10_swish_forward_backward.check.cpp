#include "check.h"
#include "kernels.h"

#include <10_swish_forward_backward.cu>

using namespace fovea;
using namespace fovea::learn;

namespace {

std::vector<float> forward(const std::vector<float>& x) {
  const Buffer<float> device_x(x), y(int64_t(x.size()));
  cuda::launch(swish, {2, 32}, device_x.data(), y.data(), int64_t(x.size()));
  return y.values();
}

std::vector<float> backward(const std::vector<float>& x, const std::vector<float>& dy) {
  const Buffer<float> device_x(x), device_dy(dy), dx(int64_t(x.size()));
  cuda::launch(swish_backward, {2, 32}, device_x.data(), device_dy.data(), dx.data(), int64_t(x.size()));
  return dx.values();
}

double swish_of(double x) { return x / (1 + std::exp(-x)); }

}  // namespace

STEP("the values at 0, 1, -1 and 2") {
  expect_close(forward({0, 1, -1, 2}), std::vector<double>{0, 0.7310586, -0.2689414, 1.7615942},
               "swish of {0, 1, -1, 2}");
}

STEP("the derivatives at 0, 1, -1 and 2") {
  expect_close(backward({0, 1, -1, 2}, {1, 1, 1, 1}),
               std::vector<double>{0.5, 0.9276706, 0.0723295, 1.0907843},
               "dx for x = {0, 1, -1, 2} and dy = 1");
}

STEP("the gradient of y is a factor: the chain rule") {
  const std::vector<float> dx = backward({0, 0, 0}, {1, -3, 10});
  expect(!(dx[0] == 0.5f && dx[1] == 0.5f && dx[2] == 0.5f),
         "x = 0: dx is 0.5 whatever dy is; it should be dy times the derivative");
  expect_close(dx, std::vector<double>{0.5, -1.5, 5}, "dx for x = 0 and dy = {1, -3, 10}");
}

STEP("large |x|: no infinity and no NaN") {
  const std::vector<float> x = {-1000, -200, -100, -89, -20, 20, 89, 100, 200, 1000};
  const std::vector<float> y = forward(x), dx = backward(x, std::vector<float>(x.size(), 1));
  for (size_t i = 0; i < x.size(); ++i) {
    const double expected = x[i] < -80 ? 0 : swish_of(double(x[i]));
    const double derivative = x[i] < 0 ? 0 : 1;  // within 5e-8
    expect(std::isfinite(y[i]), "swish({}) is {}: expected {:.6g}. Which part of your formula overflows?",
           x[i], y[i], expected);
    expect(std::isfinite(dx[i]),
           "the derivative at {} is {}: expected {}. Which part of your formula overflows?", x[i], dx[i],
           derivative);
    expect_close(double(y[i]), expected, fmt::format("swish({})", x[i]));
    expect_close(double(dx[i]), derivative, fmt::format("the derivative at {}", x[i]));
  }
}

STEP("1009 numbers: values and gradient") {
  std::vector<float> x = sample_float(1009), dy = sample_float(1009, 2);
  for (float& value : x) value *= 8;
  std::vector<double> expected, gradient;
  for (size_t i = 0; i < x.size(); ++i) {
    const double at = double(x[i]), h = 1e-5;
    expected.push_back(swish_of(at));
    gradient.push_back(double(dy[i]) * (swish_of(at + h) - swish_of(at - h)) / (2 * h));
  }
  expect_close(in_every_order([&] { return forward(x); }), expected, "swish(x)");
  expect_close(in_every_order([&] { return backward(x, dy); }), gradient,
               "dx (expected: by central differences)");
}

STEP("score: each number is read once and written once") {
  const Buffer<float> x(sample_float(512)), dy(sample_float(512, 2)), result(512);
  const cuda::KernelScore up = score_of([&] {
    cuda::launch(swish, {2, 64}, x.data(), result.data(), int64_t(512));
  });
  expect_times("y", "written", up.writes(result.data()), 1);
  const cuda::KernelScore down = score_of([&] {
    cuda::launch(swish_backward, {2, 64}, x.data(), dy.data(), result.data(), int64_t(512));
  });
  expect_times("dy", "read", down.reads(dy.data()), 1);
  expect_times("dx", "written", down.writes(result.data()), 1);
  note_score("x in the backward pass", "read", down.reads(x.data()));
}
